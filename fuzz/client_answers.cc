// Answers as the command line reads them: reports, problems, lists, and figures of /metrics. Who
// answers may be anybody; what is shown goes to a person's terminal.
#include "app/answer_view.h"
#include "app/rest_call.h"
#include "app/server_look.h"
#include "base/assert.h"
#include "fuzz/cursor.h"
#include "fuzz/targets.h"

#include <string>

namespace twofold::fuzz {

namespace {

void check_views(const boost::json::value& answer) {
    static_cast<void>(app::has_ended(answer));
    static_cast<void>(app::is_open_branch(answer));
    static_cast<void>(app::transaction_text(answer));
    static_cast<void>(app::ended_text(answer));
    static_cast<void>(app::change_line(answer));
    static_cast<void>(app::why_text(answer));
    static_cast<void>(app::why_branch_text(answer, 1));
    for (const char* name : {"transactions", "participants"}) {
        static_cast<void>(app::transactions_table(app::list_of(answer, name)));
        static_cast<void>(app::in_doubt_table(app::list_of(answer, name)));
        static_cast<void>(app::participants_table(app::list_of(answer, name)));
    }
    for (const char* name : {"version", "branch", "code"}) {
        static_cast<void>(app::text_of(answer, name));
        static_cast<void>(app::number_of(answer, name));
        static_cast<void>(app::flag_of(answer, name));
    }
}

}  // namespace

void client_answers(base::ByteSpan input) {
    std::string text(as_text(input));
    boost::json::value answer = app::parse_answer(text);
    check_views(answer);
    for (const char* name : {"code", "detail"}) {
        std::string member = app::json_text(text, name);
        TWOFOLD_ASSERT(member.empty() || app::text_of(answer, name) == member,
                       "two readers of an answer differ");
    }
    app::Figures figures(text);
    static_cast<void>(figures.sum("twofold_transactions"));
    static_cast<void>(figures.sum("twofold_transactions", "state=\"active\""));
    static_cast<void>(figures.label("twofold_build_info", "version"));
    static_cast<void>(figures.by_label("twofold_transactions", "state"));
}

}  // namespace twofold::fuzz
