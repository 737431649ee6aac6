// What must be true of the books after a long run, whatever has died in it. Pure functions of what
// clients were told and what the databases hold, so that tests can tamper with either.
//
// Two-phase commit promises atomicity, not isolation between databases; only this much of isolation
// follows from it. A branch keeps its row locks from its work to its commit, and no branch commits
// before the work of all of them is done. So when two transactions append to one list in two
// databases they do it in the same order, and whoever has read an append commits after it: the
// graph of "appended before" and "was read by", over all databases together, has no cycle
// (Elle's G0 and G1c). Cycles with anti-dependencies are allowed between databases and not
// searched.
#pragma once

#include "integration/workload.h"

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace twofold::integration {

// What one database holds.
struct Books {
    std::int64_t balances = 0;                               // sum
    std::unordered_map<std::uint64_t, std::int64_t> ledger;  // request -> amount
    std::map<int, std::vector<std::uint64_t>> lists;         // without the empty ones
};

[[nodiscard]] base::Result<Books> read_books(Database& database);

struct BooksVerdict {
    std::int64_t imbalance = 0;
    std::uint64_t committed = 0;  // requests that took effect
    std::vector<std::string> violations;
};

// Conservation, in each database and over all; every transfer on both of its sides or nowhere;
// every append exactly once in each of its databases or nowhere; answers hold; nothing is there
// that nobody asked for; orders agree; reads saw what was committed.
[[nodiscard]] BooksVerdict check_books(const std::vector<Deed>& deeds,
                                       const std::vector<Books>& books);

}  // namespace twofold::integration
