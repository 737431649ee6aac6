#include "integration/books_check.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

namespace twofold::integration {

namespace {

using base::Result;

constexpr std::int64_t kOpening = std::int64_t{kAccounts} * kBalance;

std::vector<std::uint64_t> values_of(const std::string& items) {
    std::vector<std::uint64_t> values;
    std::istringstream parts(items);
    for (std::string part; std::getline(parts, part, ',');) {
        values.push_back(std::strtoull(part.c_str(), nullptr, 10));
    }
    return values;
}

class Checker {
public:
    Checker(const std::vector<Deed>& deeds, const std::vector<Books>& books)
        : deeds_(deeds), books_(books) {
        for (const Deed& deed : deeds_) by_number_.emplace(deed.number, &deed);
    }

    BooksVerdict run() {
        check_money();
        locate_appends();
        for (const Deed& deed : deeds_) {
            bool there = deed.append ? check_append(deed) : check_transfer(deed);
            if (there) ++verdict_.committed;
            if (deed.told == Verdict::committed && !there)
                accuse(deed, "told committed, not there");
            if (deed.told == Verdict::aborted && there) accuse(deed, "told aborted, but there");
            if (there) check_reads(deed);
        }
        check_order();
        return std::move(verdict_);
    }

private:
    struct Place {
        std::size_t database;
        int list;
        std::size_t position;
    };
    struct Edge {
        std::uint64_t to;
        const char* why;
    };

    void accuse(const Deed& deed, const std::string& what) {
        verdict_.violations.push_back("request " + std::to_string(deed.number) + " (" + deed.id +
                                      "): " + what);
    }

    void check_money() {
        for (std::size_t index = 0; index < books_.size(); ++index) {
            std::int64_t moved = 0;
            for (const auto& [number, amount] : books_[index].ledger) {
                moved += amount;
                auto found = by_number_.find(number);
                if (found == by_number_.end() || found->second->append) {
                    verdict_.violations.push_back("database " + std::to_string(index) +
                                                  ": nobody asked for transfer " +
                                                  std::to_string(number));
                }
            }
            verdict_.imbalance += books_[index].balances - kOpening;
            if (books_[index].balances != kOpening + moved) {
                verdict_.violations.push_back("database " + std::to_string(index) +
                                              ": the balances are not what the ledger says");
            }
        }
        if (verdict_.imbalance != 0) {
            verdict_.violations.push_back("imbalance=" + std::to_string(verdict_.imbalance));
        }
    }

    bool check_transfer(const Deed& deed) {
        bool anywhere = false;
        bool everywhere = true;
        for (std::size_t index = 0; index < books_.size(); ++index) {
            std::int64_t wanted = 0;
            if (index == deed.from) wanted = -deed.amount;
            if (index == deed.to) wanted = deed.amount;
            auto found = books_[index].ledger.find(deed.number);
            bool here = found != books_[index].ledger.end();
            anywhere = anywhere || here;
            if (wanted != 0 && !here) everywhere = false;
            if (here && found->second != wanted) accuse(deed, "the wrong amount, or database");
        }
        if (anywhere && !everywhere) accuse(deed, "on one side only");
        return anywhere;
    }

    void locate_appends() {
        for (std::size_t index = 0; index < books_.size(); ++index) {
            for (const auto& [list, values] : books_[index].lists) {
                for (std::size_t at = 0; at < values.size(); ++at) {
                    places_[values[at]].push_back({index, list, at});
                    auto found = by_number_.find(values[at]);
                    if (found == by_number_.end() || !found->second->append) {
                        verdict_.violations.push_back("database " + std::to_string(index) +
                                                      ": nobody asked for append " +
                                                      std::to_string(values[at]));
                    }
                    if (at > 0) edges_[values[at - 1]].push_back({values[at], "appended before"});
                }
            }
        }
    }

    bool check_append(const Deed& deed) {
        auto found = places_.find(deed.number);
        if (found == places_.end()) return false;
        std::uint32_t seen = 0;
        for (const Place& place : found->second) {
            std::uint32_t bit = 1U << place.database;
            if ((seen & bit) != 0) accuse(deed, "appended twice in one database");
            if (place.list != deed.list) accuse(deed, "appended to another list");
            seen |= bit;
        }
        if (seen != deed.databases) accuse(deed, "appended in some of its databases only");
        return true;
    }

    // The list never shrinks, so what was read must still be its beginning.
    void check_reads(const Deed& deed) {
        for (const ListRead& read : deed.reads) {
            if (read.count == 0) continue;
            const auto& lists = books_[read.database].lists;
            auto list = lists.find(read.list);
            bool right = list != lists.end() && read.count <= list->second.size() &&
                         list->second[read.count - 1] == read.last;
            if (!right)
                accuse(deed,
                       "has read " + std::to_string(read.last) +
                           ", which was not committed, or elsewhere");
            if (right) edges_[read.last].push_back({deed.number, "was read by"});
        }
    }

    // Takes away what has no predecessor until nothing or only cycles, and what hangs on them, is
    // left.
    void check_order() {
        std::unordered_map<std::uint64_t, std::size_t> predecessors;
        for (const auto& [from, edges] : edges_) {
            predecessors.try_emplace(from, 0);
            for (const Edge& edge : edges) ++predecessors[edge.to];
        }
        std::vector<std::uint64_t> ready;
        for (const auto& [number, count] : predecessors) {
            if (count == 0) ready.push_back(number);
        }
        std::size_t removed = 0;
        while (!ready.empty()) {
            std::uint64_t number = ready.back();
            ready.pop_back();
            ++removed;
            auto found = edges_.find(number);
            if (found == edges_.end()) continue;
            for (const Edge& edge : found->second) {
                if (--predecessors[edge.to] == 0) ready.push_back(edge.to);
            }
        }
        if (removed != predecessors.size()) tell_cycle(predecessors);
    }

    void tell_cycle(const std::unordered_map<std::uint64_t, std::size_t>& predecessors) {
        // Everything left has a predecessor that is left: walking back must come round.
        std::unordered_map<std::uint64_t, std::pair<std::uint64_t, const char*>> before;
        std::uint64_t at = 0;
        for (const auto& [from, edges] : edges_) {
            if (predecessors.at(from) == 0) continue;
            for (const Edge& edge : edges) before[edge.to] = {from, edge.why};
            at = from;
        }
        for (std::size_t step = 0; step < before.size(); ++step) at = before.at(at).first;
        std::string text = std::to_string(at);
        std::uint64_t end = at;
        do {
            const auto& [earlier, why] = before.at(at);
            text = std::to_string(earlier) + " " + why + " " + text;
            at = earlier;
        } while (at != end);
        verdict_.violations.push_back("no order is possible: " + text);
    }

    const std::vector<Deed>& deeds_;
    const std::vector<Books>& books_;
    std::unordered_map<std::uint64_t, const Deed*> by_number_;
    std::unordered_map<std::uint64_t, std::vector<Place>> places_;
    std::unordered_map<std::uint64_t, std::vector<Edge>> edges_;
    BooksVerdict verdict_;
};

}  // namespace

Result<Books> read_books(Database& database) {
    Books books;
    TWOFOLD_TRY(books.balances, bank_sum(database));
    TWOFOLD_TRY(Rows ledger, database.query("SELECT ref, amount FROM ledger"));
    for (const auto& row : ledger) {
        books.ledger.emplace(std::strtoull(row[0].c_str(), nullptr, 10),
                             std::strtoll(row[1].c_str(), nullptr, 10));
    }
    TWOFOLD_TRY(Rows lists, database.query("SELECT id, items FROM lists WHERE items <> ''"));
    for (const auto& row : lists) {
        books.lists.emplace(static_cast<int>(std::strtol(row[0].c_str(), nullptr, 10)),
                            values_of(row[1]));
    }
    return books;
}

BooksVerdict check_books(const std::vector<Deed>& deeds, const std::vector<Books>& books) {
    return Checker(deeds, books).run();
}

}  // namespace twofold::integration
