// The end of a long run, the same for `make kill` and `make soak`: the clients stop, everything
// settles, and then the books, the answers, the log and what is left over are looked at from
// outside.
#pragma once

#include "integration/books_check.h"
#include "integration/log_auditor.h"
#include "integration/mixed_system.h"

#include <cstdint>
#include <string>
#include <vector>

namespace twofold::integration {

// Segments end and checkpoints begin all the time.
inline constexpr const char* kSmallestLog =
    "{ segment_size_bytes: 65536, checkpoint_bytes: 262144 }";

// From now on SIGINT and SIGTERM only ask the run to come to its end.
void end_on_signals();
[[nodiscard]] bool is_interrupted();

// Planted at the end of a run, to see that its check is awake.
enum class Sabotage : std::uint8_t {
    none,
    balance,          // money appears
    forged_answer,    // a client that was told "aborted" says that it was told "committed"
    lost_transfer,    // one side of a transfer is undone
    lost_append,      // an append is missing in one database
    swapped_appends,  // two appends have another order in one database
    prepared_left,    // a prepared transaction that nobody finishes
    log_cut,          // the newest segment of the log is gone
};
// Nothing when there is no such name.
[[nodiscard]] std::optional<Sabotage> sabotage_named(std::string_view name);
[[nodiscard]] std::string sabotage_names();

struct LongRunResult {
    BooksVerdict books;
    std::uint64_t asked = 0;           // answers that were compared with what their id says now
    std::vector<std::string> residue;  // what should not be left
    std::string log;                   // what the auditor has seen
};

// The clients have stopped. Kills the coordinator at the end. `violations` of the result's books
// hold what was found wrong anywhere.
[[nodiscard]] base::Result<LongRunResult> settle(MixedSystem& system,
                                                 std::vector<Deed> deeds,
                                                 LogAuditor& auditor,
                                                 Sabotage sabotage);

// The value below which `percent` of all lie; 0 of none.
[[nodiscard]] std::int64_t percentile(std::vector<std::int64_t> values, int percent);

// Prints at most a dozen, then how many more there are.
void print_findings(const char* what, const std::vector<std::string>& findings);

}  // namespace twofold::integration
