#include "app/indoubt_list.h"

#include "app/answer_view.h"

#include <algorithm>
#include <set>
#include <utility>

namespace twofold::app {

namespace {

// A branch is parked only in one of these, too.
constexpr const char* kStates[] = {"settling", "committing", "aborting", "heuristic"};

}  // namespace

void sort_by_age(boost::json::array& reports) {
    std::stable_sort(reports.begin(), reports.end(), [](const auto& one, const auto& other) {
        return number_of(one, "age_ms") > number_of(other, "age_ms");
    });
}

base::Result<InDoubt> read_in_doubt(const Client& client, const std::string& participant) {
    boost::json::array out;
    std::set<std::string> seen;  // one may change its state between two questions
    for (const char* state : kStates) {
        std::string cursor;
        do {
            std::string target = std::string("/v1/transactions?limit=500&state=") + state;
            if (!participant.empty()) target += "&participant=" + percent_encode(participant);
            if (!cursor.empty()) target += "&cursor=" + percent_encode(cursor);
            TWOFOLD_TRY(Answer page, client.get(target));
            if (page.status != 200 || !page.json.is_object()) return InDoubt(std::move(page));
            for (const boost::json::value& report : list_of(page.json, "transactions")) {
                if (seen.insert(text_of(report, "id")).second) out.push_back(report);
            }
            cursor = text_of(page.json, "next_cursor");
        } while (!cursor.empty());
    }
    sort_by_age(out);
    return InDoubt(std::move(out));
}

}  // namespace twofold::app
