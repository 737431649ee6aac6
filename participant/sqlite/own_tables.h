// Our tables in the user's file (names begin with _tc_) and their rows. All functions expect an
// open transaction where that matters; none of them begins or ends one.
#pragma once

#include "base/keyed_hash.h"
#include "participant/sqlite/connection.h"
#include "protocol/branch_work.h"

#include <optional>
#include <string>
#include <vector>

namespace twofold::participant::sqlite {

struct FileMeta {
    protocol::ParticipantUuid participant;
    std::string database_uuid;
    std::uint32_t epoch = 0;
    std::uint64_t counter = 0;  // prepares and one-phase commits
};

// Creates the tables and a first _tc_meta.
[[nodiscard]] base::Result<void> create_own_tables(Connection& connection, const FileMeta& meta);
// Nothing when the file has none of our tables. unsupported_version when a newer program made them.
[[nodiscard]] base::Result<std::optional<FileMeta>> read_meta(Connection& connection);
[[nodiscard]] base::Result<void> set_epoch(Connection& connection, std::uint32_t epoch);
[[nodiscard]] base::Result<void> set_counter(Connection& connection, std::uint64_t counter);

using Senders = std::map<protocol::Incarnation, protocol::SenderStamp>;
// Epoch and position never go back.
[[nodiscard]] base::Result<void> raise_sender(Connection& connection,
                                              const protocol::SenderStamp& sender);
[[nodiscard]] base::Result<Senders> read_senders(Connection& connection);
// Below which outcomes have been deleted.
using Forgotten = std::map<protocol::Incarnation, protocol::IdPosition>;
[[nodiscard]] base::Result<Forgotten> read_forgotten(Connection& connection);

// What a person has decided about a branch; kept for ever.
[[nodiscard]] base::Result<void> insert_resolution(Connection& connection,
                                                   const protocol::FinishRequest& request,
                                                   protocol::Decision decision);
[[nodiscard]] base::Result<std::vector<protocol::Resolution>> read_resolutions(
    Connection& connection);

struct PreparedRecord {
    protocol::BranchKey key;
    std::string gid;
    std::uint64_t counter = 0;
    std::int64_t prepared_at_ms = 0;
    std::int64_t schema_version = 0;
    base::Hash256 fingerprint{};
    std::string summary;
    base::Bytes redo;
    bool intact = true;  // read: the checksum over all of it is right
};
// Inserts the record and the lock on the whole file.
[[nodiscard]] base::Result<void> insert_prepared(Connection& connection,
                                                 const PreparedRecord& record);
[[nodiscard]] base::Result<std::optional<PreparedRecord>> find_prepared(Connection& connection,
                                                                        const std::string& gid);
// With empty redo: for listings.
[[nodiscard]] base::Result<std::vector<PreparedRecord>> list_prepared(Connection& connection);
[[nodiscard]] base::Result<void> delete_prepared(Connection& connection, const std::string& gid);
// Whether any lock row is there: then work must wait.
[[nodiscard]] base::Result<bool> is_locked(Connection& connection);

enum class Ended { committed, aborted };
// From _tc_done, then from _tc_witness.
[[nodiscard]] base::Result<std::optional<Ended>> find_ended(Connection& connection,
                                                            const std::string& gid);
// tombstone: aborted before there was anything to abort.
enum class DoneAs { committed, aborted, tombstone };
[[nodiscard]] base::Result<void> insert_done(Connection& connection,
                                             const protocol::BranchKey& key,
                                             const std::string& gid,
                                             DoneAs outcome,
                                             std::int64_t at_ms);

struct Witness {
    std::string gid;
    Ended outcome = Ended::committed;
    std::uint64_t counter = 0;
    std::optional<protocol::IdempotencyKey> idempotency;
    std::int64_t at_ms = 0;
};
[[nodiscard]] base::Result<void> insert_witness(Connection& connection,
                                                const protocol::BranchKey& key,
                                                const Witness& witness);
[[nodiscard]] base::Result<std::optional<Witness>> find_witness(Connection& connection,
                                                                const std::string& gid);

// Who has committed under an idempotency key.
struct KeyOwner {
    std::optional<protocol::TxnId> txn;  // has committed the same request under the key
    bool is_other_request = false;       // the key belongs to another request
};
[[nodiscard]] base::Result<KeyOwner> find_key_owner(
    Connection& connection, const std::optional<protocol::IdempotencyKey>& key);

struct PruneMarks {
    protocol::IdPosition low_water;
    protocol::IdPosition horizon;
    std::int64_t keys_until_ms = 0;  // witnesses with an idempotency key that are younger stay
};
// Deletes some rows about branches below the marks, and notes how far outcomes have been deleted.
[[nodiscard]] base::Result<void> prune(Connection& connection,
                                       const protocol::Incarnation& incarnation,
                                       const PruneMarks& marks);

}  // namespace twofold::participant::sqlite
