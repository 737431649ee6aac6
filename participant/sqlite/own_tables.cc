#include "participant/sqlite/own_tables.h"

#include "participant/sqlite/schema.h"

#include <sqlite3.h>

#include <algorithm>
#include <charconv>

namespace twofold::participant::sqlite {

namespace {

constexpr std::int64_t kFormat = 1;
constexpr int kPruneRows = 64;  // per transaction: forgetting must not make a commit slow
// Followed by an incarnation's digits: the epoch of its newest start, that start's nonce, and the
// highest position of its log.
constexpr std::string_view kSenderPrefix = "sender:";
constexpr std::string_view kSenderNoncePrefix = "sender_nonce:";
constexpr std::string_view kSenderPositionPrefix = "sender_position:";
constexpr std::string_view kForgottenEpochPrefix = "forgotten_epoch:";
constexpr std::string_view kForgottenSequencePrefix = "forgotten_sequence:";
constexpr std::string_view kResolvedPrefix = "resolved:";

// Without STRICT: other programs may open the file with an SQLite that is too old for it.
constexpr std::string_view kTables[] = {
    "CREATE TABLE _tc_meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
    // NOLINTNEXTLINE(bugprone-suspicious-missing-comma): one statement in several literals
    "CREATE TABLE _tc_prepared (gid TEXT PRIMARY KEY, txn TEXT NOT NULL, branch INTEGER NOT NULL,"
    " attempt INTEGER NOT NULL, counter INTEGER NOT NULL, prepared_at_ms INTEGER NOT NULL,"
    " summary TEXT NOT NULL, schema_version INTEGER NOT NULL, schema_fingerprint BLOB NOT NULL,"
    " redo BLOB NOT NULL, checksum BLOB NOT NULL)",
    "CREATE TABLE _tc_lock (tbl TEXT NOT NULL, key BLOB NOT NULL, gid TEXT NOT NULL,"
    " PRIMARY KEY (tbl, key)) WITHOUT ROWID",
    "CREATE TABLE _tc_done (gid TEXT PRIMARY KEY, outcome TEXT NOT NULL, incarnation BLOB NOT NULL,"
    " epoch INTEGER NOT NULL, sequence INTEGER NOT NULL, at_ms INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX _tc_done_order ON _tc_done (incarnation, epoch, sequence)",
    "CREATE TABLE _tc_witness (gid TEXT PRIMARY KEY, outcome TEXT NOT NULL,"
    " incarnation BLOB NOT NULL, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL,"
    " counter INTEGER NOT NULL, key_hash BLOB UNIQUE, fingerprint BLOB, at_ms INTEGER NOT NULL)"
    " WITHOUT ROWID",
    "CREATE INDEX _tc_witness_order ON _tc_witness (incarnation, epoch, sequence)",
};

base::Result<void> set_meta(Connection& connection, std::string_view name, const Value& value) {
    TWOFOLD_TRY(
        Statement statement,
        connection.prepare("INSERT OR REPLACE INTO _tc_meta (name, value) VALUES (?1, ?2)"));
    statement.bind(1, name);
    statement.bind(2, value);
    return statement.run();
}

base::Hash256 checksum_of(const PreparedRecord& record) {
    base::Bytes bytes;
    base::ByteWriter out(bytes);
    out.string(record.gid);
    out.raw(record.key.group.bytes);
    out.u16(record.key.branch);
    out.u16(record.key.attempt);
    out.u64(record.counter);
    out.u64(static_cast<std::uint64_t>(record.schema_version));
    out.raw(record.fingerprint);
    out.raw(record.redo);
    return base::sha256(bytes);
}

template <std::size_t N>
bool take_array(const base::Bytes& bytes, std::array<std::uint8_t, N>& out) {
    if (bytes.size() != N) return false;
    std::ranges::copy(bytes, out.begin());
    return true;
}

// Columns: gid, txn, branch, attempt, counter, prepared_at_ms, summary.
PreparedRecord read_head(const Statement& row) {
    PreparedRecord record;
    record.gid = row.text(0);
    std::optional<protocol::TxnId> id = protocol::TxnId::parse(row.text(1));
    record.intact = id.has_value();
    if (id.has_value()) record.key.group = *id;
    record.key.branch = static_cast<std::uint16_t>(row.integer(2));
    record.key.attempt = static_cast<std::uint16_t>(row.integer(3));
    record.counter = static_cast<std::uint64_t>(row.integer(4));
    record.prepared_at_ms = row.integer(5);
    record.summary = row.text(6);
    return record;
}

constexpr std::string_view kHeadColumns =
    "gid, txn, branch, attempt, counter, prepared_at_ms, summary";

std::string_view name_of(DoneAs outcome) {
    switch (outcome) {
        case DoneAs::committed: return "committed";
        case DoneAs::aborted: return "aborted";
        case DoneAs::tombstone: return "tombstone";
    }
    return "";
}

Ended ended(std::string_view outcome) {
    return outcome == "committed" ? Ended::committed : Ended::aborted;
}

// Positions 2 to 4 of the inserts below.
void bind_order(Statement& statement, int first, const protocol::TxnId& id) {
    statement.bind(first, base::ByteSpan(id.incarnation().bytes));
    statement.bind(first + 1, std::int64_t{id.epoch()});
    statement.bind(first + 2, static_cast<std::int64_t>(id.sequence()));
}

base::Result<std::optional<Witness>> read_witness(Statement& statement) {
    TWOFOLD_TRY(bool row, statement.step());
    if (!row) return std::optional<Witness>();
    Witness witness;
    witness.gid = statement.text(0);
    witness.outcome = ended(statement.text(1));
    witness.counter = static_cast<std::uint64_t>(statement.integer(2));
    protocol::IdempotencyKey key;
    if (take_array(statement.blob(3), key.key_hash) &&
        take_array(statement.blob(4), key.fingerprint)) {
        witness.idempotency = key;
    }
    witness.at_ms = statement.integer(5);
    return std::optional<Witness>(std::move(witness));
}

constexpr std::string_view kWitnessColumns =
    "SELECT gid, outcome, counter, key_hash, fingerprint, at_ms FROM _tc_witness";

void bind_mark(Statement& statement,
               const protocol::Incarnation& incarnation,
               protocol::IdPosition mark) {
    statement.bind(1, base::ByteSpan(incarnation.bytes));
    statement.bind(2, std::int64_t{mark.epoch});
    statement.bind(3, static_cast<std::int64_t>(mark.sequence));
    statement.bind(4, std::int64_t{kPruneRows});
}

// True when something was deleted.
base::Result<bool> prune_table(Connection& connection,
                               std::string_view table,
                               const protocol::Incarnation& incarnation,
                               protocol::IdPosition mark) {
    std::string name(table);
    TWOFOLD_TRY(
        Statement statement,
        connection.prepare("DELETE FROM " + name + " WHERE gid IN (SELECT gid FROM " + name +
                           " WHERE incarnation = ?1 AND (epoch, sequence) < (?2, ?3)"
                           " LIMIT ?4)"));
    bind_mark(statement, incarnation, mark);
    TWOFOLD_TRY(statement.run());
    return sqlite3_changes64(connection.handle()) > 0;
}

// A witness with an idempotency key stays as long as its client may come again under the key.
// Looked at are the oldest rows only: rows that stay must not make every commit slow.
base::Result<void> prune_witnesses(Connection& connection,
                                   const protocol::Incarnation& incarnation,
                                   protocol::IdPosition mark,
                                   std::int64_t keys_until_ms) {
    TWOFOLD_TRY(
        Statement statement,
        connection.prepare("DELETE FROM _tc_witness WHERE gid IN (SELECT gid FROM (SELECT gid,"
                           " key_hash, at_ms FROM _tc_witness WHERE incarnation = ?1 AND"
                           " (epoch, sequence) < (?2, ?3) ORDER BY epoch, sequence LIMIT ?4)"
                           " WHERE key_hash IS NULL OR at_ms < ?5)"));
    bind_mark(statement, incarnation, mark);
    statement.bind(5, keys_until_ms);
    return statement.run();
}

}  // namespace

base::Result<void> create_own_tables(Connection& connection, const FileMeta& meta) {
    for (std::string_view sql : kTables) {
        TWOFOLD_TRY(connection.exec(sql));
    }
    TWOFOLD_TRY(set_meta(connection, "format", {kFormat}));
    TWOFOLD_TRY(set_meta(connection, "participant_uuid", {meta.participant.text()}));
    TWOFOLD_TRY(set_meta(connection, "database_uuid", {meta.database_uuid}));
    TWOFOLD_TRY(set_epoch(connection, meta.epoch));
    return set_counter(connection, meta.counter);
}

base::Result<std::optional<FileMeta>> read_meta(Connection& connection) {
    std::map<std::string, Value, std::less<>> rows;
    {
        TWOFOLD_TRY(Statement exists,
                    connection.prepare("SELECT 1 FROM main.sqlite_schema"
                                       " WHERE type = 'table' AND name = '_tc_meta'"));
        TWOFOLD_TRY(bool row, exists.step());
        if (!row) return std::optional<FileMeta>();
    }
    TWOFOLD_TRY(Statement statement,
                connection.prepare("SELECT name, value FROM _tc_meta WHERE name IN ('format',"
                                   " 'participant_uuid', 'database_uuid', 'epoch', 'counter')"));
    for (;;) {
        TWOFOLD_TRY(bool row, statement.step());
        if (!row) break;
        rows[statement.text(0)] = statement.column(1);
    }
    const std::int64_t* format = rows["format"].integer();
    if (format != nullptr && *format != kFormat) {
        return base::fail(base::Errc::unsupported_version,
                          "the file's _tc_ tables have format " + std::to_string(*format) +
                              "; this program knows " + std::to_string(kFormat));
    }
    const std::string* participant = rows["participant_uuid"].text();
    const std::string* database = rows["database_uuid"].text();
    const std::int64_t* epoch = rows["epoch"].integer();
    const std::int64_t* counter = rows["counter"].integer();
    std::optional<protocol::ParticipantUuid> uuid;
    if (participant != nullptr) uuid = protocol::ParticipantUuid::parse(*participant);
    if (format == nullptr || !uuid || database == nullptr || epoch == nullptr ||
        counter == nullptr) {
        return base::fail(base::Errc::corrupt, "_tc_meta is incomplete: the file is damaged");
    }
    return std::optional<FileMeta>(FileMeta{*uuid,
                                            *database,
                                            static_cast<std::uint32_t>(*epoch),
                                            static_cast<std::uint64_t>(*counter)});
}

base::Result<void> set_epoch(Connection& connection, std::uint32_t epoch) {
    return set_meta(connection, "epoch", {std::int64_t{epoch}});
}

base::Result<void> set_counter(Connection& connection, std::uint64_t counter) {
    return set_meta(connection, "counter", {static_cast<std::int64_t>(counter)});
}

base::Result<void> raise_sender(Connection& connection, const protocol::SenderStamp& sender) {
    std::string hex = sender.incarnation.text();
    TWOFOLD_TRY(Senders known, read_senders(connection));
    protocol::SenderStamp& row = known[sender.incarnation];
    if (sender.epoch >= row.epoch) {
        row.epoch = sender.epoch;
        row.start_nonce = sender.start_nonce;
    }
    row.position = std::max(row.position, sender.position);
    auto set = [&](std::string_view prefix, std::uint64_t value) {
        return set_meta(connection, std::string(prefix) + hex, {static_cast<std::int64_t>(value)});
    };
    TWOFOLD_TRY(set(kSenderPrefix, row.epoch));
    TWOFOLD_TRY(set(kSenderNoncePrefix, row.start_nonce));
    return set(kSenderPositionPrefix, row.position);
}

namespace {

// Calls back with the number behind the prefix and the incarnation's digits.
template <class Take>
base::Result<void> read_sender_rows(Connection& connection, std::string_view prefix, Take take) {
    TWOFOLD_TRY(
        Statement statement,
        connection.prepare("SELECT name, value FROM _tc_meta WHERE name BETWEEN ?1 AND ?2"));
    statement.bind(1, prefix);
    statement.bind(2, std::string(prefix) + "~");
    for (;;) {
        TWOFOLD_TRY(bool row, statement.step());
        if (!row) return base::ok();
        std::string hex = statement.text(0).substr(prefix.size());
        std::optional<protocol::Incarnation> incarnation = protocol::Incarnation::parse(hex);
        // Skipping it would accept messages of a coordinator that was fenced off.
        if (!incarnation) return base::fail(base::Errc::corrupt, "_tc_meta: sender " + hex);
        take(*incarnation, static_cast<std::uint64_t>(statement.integer(1)));
    }
}

}  // namespace

// The first version had the epoch only; nonce and position are 0, "unknown", then.
base::Result<Senders> read_senders(Connection& connection) {
    Senders senders;
    TWOFOLD_TRY(read_sender_rows(
        connection, kSenderPrefix, [&](const protocol::Incarnation& id, std::uint64_t value) {
            senders[id].incarnation = id;
            senders[id].epoch = static_cast<protocol::Epoch>(value);
        }));
    TWOFOLD_TRY(read_sender_rows(
        connection, kSenderNoncePrefix, [&](const protocol::Incarnation& id, std::uint64_t value) {
            senders[id].start_nonce = value;
        }));
    TWOFOLD_TRY(read_sender_rows(connection,
                                 kSenderPositionPrefix,
                                 [&](const protocol::Incarnation& id, std::uint64_t value) {
                                     senders[id].position = value;
                                 }));
    return senders;
}

base::Result<Forgotten> read_forgotten(Connection& connection) {
    Forgotten marks;
    TWOFOLD_TRY(read_sender_rows(connection,
                                 kForgottenEpochPrefix,
                                 [&](const protocol::Incarnation& id, std::uint64_t value) {
                                     marks[id].epoch = static_cast<protocol::Epoch>(value);
                                 }));
    TWOFOLD_TRY(read_sender_rows(
        connection,
        kForgottenSequencePrefix,
        [&](const protocol::Incarnation& id, std::uint64_t value) { marks[id].sequence = value; }));
    return marks;
}

base::Result<void> insert_resolution(Connection& connection,
                                     const protocol::FinishRequest& request,
                                     protocol::Decision decision) {
    std::string value(decision == protocol::Decision::commit ? "commit " : "abort ");
    return set_meta(
        connection, std::string(kResolvedPrefix) + request.gid, {value + request.operator_reason});
}

base::Result<std::vector<protocol::Resolution>> read_resolutions(Connection& connection) {
    std::vector<protocol::Resolution> all;
    TWOFOLD_TRY(Statement statement,
                connection.prepare("SELECT name, value FROM _tc_meta"
                                   " WHERE name BETWEEN 'resolved:' AND 'resolved:~'"));
    for (;;) {
        TWOFOLD_TRY(bool row, statement.step());
        if (!row) return all;
        std::string gid = statement.text(0).substr(kResolvedPrefix.size());
        std::string value = statement.text(1);
        auto parsed = protocol::parse_gid(gid);
        bool is_commit = value.starts_with("commit ");
        if (!parsed || (!is_commit && !value.starts_with("abort "))) {
            return base::fail(base::Errc::corrupt, "_tc_meta: resolved " + gid);
        }
        all.push_back({parsed->key,
                       is_commit ? protocol::Decision::commit : protocol::Decision::abort,
                       value.substr(value.find(' ') + 1)});
    }
}

base::Result<void> insert_prepared(Connection& connection, const PreparedRecord& record) {
    TWOFOLD_TRY(Statement insert,
                connection.prepare("INSERT INTO _tc_prepared (" + std::string(kHeadColumns) +
                                   ", schema_version, schema_fingerprint, redo, checksum)"
                                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"));
    insert.bind(1, record.gid);
    insert.bind(2, record.key.group.text());
    insert.bind(3, std::int64_t{record.key.branch});
    insert.bind(4, std::int64_t{record.key.attempt});
    insert.bind(5, static_cast<std::int64_t>(record.counter));
    insert.bind(6, record.prepared_at_ms);
    insert.bind(7, record.summary);
    insert.bind(8, record.schema_version);
    insert.bind(9, base::ByteSpan(record.fingerprint));
    insert.bind(10, base::ByteSpan(record.redo));
    insert.bind(11, base::ByteSpan(checksum_of(record)));
    TWOFOLD_TRY(insert.run());
    // Row and table mode will put other rows here: (table, key bytes) and (table, '*').
    TWOFOLD_TRY(Statement lock,
                connection.prepare("INSERT INTO _tc_lock (tbl, key, gid) VALUES ('*', '*', ?1)"));
    lock.bind(1, record.gid);
    return lock.run();
}

base::Result<std::optional<PreparedRecord>> find_prepared(Connection& connection,
                                                          const std::string& gid) {
    TWOFOLD_TRY(Statement statement,
                connection.prepare("SELECT " + std::string(kHeadColumns) +
                                   ", schema_version, schema_fingerprint, redo, checksum"
                                   " FROM _tc_prepared WHERE gid = ?1"));
    statement.bind(1, gid);
    TWOFOLD_TRY(bool row, statement.step());
    if (!row) return std::optional<PreparedRecord>();
    PreparedRecord record = read_head(statement);
    record.schema_version = statement.integer(7);
    bool whole = take_array(statement.blob(8), record.fingerprint);
    record.redo = statement.blob(9);
    base::Hash256 checksum{};
    whole = take_array(statement.blob(10), checksum) && whole;
    record.intact = record.intact && whole && checksum == checksum_of(record);
    return std::optional<PreparedRecord>(std::move(record));
}

base::Result<std::vector<PreparedRecord>> list_prepared(Connection& connection) {
    std::vector<PreparedRecord> records;
    TWOFOLD_TRY(Statement statement,
                connection.prepare("SELECT " + std::string(kHeadColumns) +
                                   " FROM _tc_prepared ORDER BY counter"));
    for (;;) {
        TWOFOLD_TRY(bool row, statement.step());
        if (!row) return records;
        records.push_back(read_head(statement));
    }
}

base::Result<void> delete_prepared(Connection& connection, const std::string& gid) {
    for (const char* sql :
         {"DELETE FROM _tc_lock WHERE gid = ?1", "DELETE FROM _tc_prepared WHERE gid = ?1"}) {
        TWOFOLD_TRY(Statement statement, connection.prepare(sql));
        statement.bind(1, gid);
        TWOFOLD_TRY(statement.run());
    }
    return base::ok();
}

base::Result<bool> is_locked(Connection& connection) {
    // The record counts too, should somebody have deleted the lock by hand.
    TWOFOLD_TRY(std::int64_t locked,
                connection.query_integer("SELECT EXISTS (SELECT 1 FROM _tc_lock)"
                                         " OR EXISTS (SELECT 1 FROM _tc_prepared)"));
    return locked != 0;
}

base::Result<std::optional<Ended>> find_ended(Connection& connection, const std::string& gid) {
    for (const char* sql : {"SELECT outcome FROM _tc_done WHERE gid = ?1",
                            "SELECT outcome FROM _tc_witness WHERE gid = ?1"}) {
        TWOFOLD_TRY(Statement statement, connection.prepare(sql));
        statement.bind(1, gid);
        TWOFOLD_TRY(bool row, statement.step());
        if (row) return std::optional<Ended>(ended(statement.text(0)));
    }
    return std::optional<Ended>();
}

base::Result<void> insert_done(Connection& connection,
                               const protocol::BranchKey& key,
                               const std::string& gid,
                               DoneAs outcome,
                               std::int64_t at_ms) {
    TWOFOLD_TRY(
        Statement statement,
        connection.prepare("INSERT INTO _tc_done (gid, incarnation, epoch, sequence, outcome,"
                           " at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"));
    statement.bind(1, gid);
    bind_order(statement, 2, key.group);
    statement.bind(5, name_of(outcome));
    statement.bind(6, at_ms);
    return statement.run();
}

base::Result<void> insert_witness(Connection& connection,
                                  const protocol::BranchKey& key,
                                  const Witness& witness) {
    TWOFOLD_TRY(Statement statement,
                connection.prepare("INSERT INTO _tc_witness (gid, incarnation, epoch, sequence,"
                                   " outcome, counter, key_hash, fingerprint, at_ms)"
                                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"));
    statement.bind(1, witness.gid);
    bind_order(statement, 2, key.group);
    statement.bind(5, witness.outcome == Ended::committed ? "committed" : "aborted");
    statement.bind(6, static_cast<std::int64_t>(witness.counter));
    if (witness.idempotency) {
        statement.bind(7, base::ByteSpan(witness.idempotency->key_hash));
        statement.bind(8, base::ByteSpan(witness.idempotency->fingerprint));
    }
    statement.bind(9, witness.at_ms);
    return statement.run();
}

base::Result<std::optional<Witness>> find_witness(Connection& connection, const std::string& gid) {
    TWOFOLD_TRY(Statement statement,
                connection.prepare(std::string(kWitnessColumns) + " WHERE gid = ?1"));
    statement.bind(1, gid);
    return read_witness(statement);
}

base::Result<KeyOwner> find_key_owner(Connection& connection,
                                      const std::optional<protocol::IdempotencyKey>& key) {
    if (!key.has_value()) return KeyOwner{};
    TWOFOLD_TRY(Statement statement,
                connection.prepare(std::string(kWitnessColumns) + " WHERE key_hash = ?1"));
    statement.bind(1, base::ByteSpan(key->key_hash));
    TWOFOLD_TRY(std::optional<Witness> witness, read_witness(statement));
    if (!witness.has_value()) return KeyOwner{};
    std::optional<protocol::ParsedGid> gid = protocol::parse_gid(witness->gid);
    bool is_same = gid.has_value() && witness->idempotency->fingerprint == key->fingerprint;
    if (!is_same) return KeyOwner{std::nullopt, true};
    return KeyOwner{gid->key.group, false};
}

namespace {

// Until the coordinator's END is durable it may be asked once more how a branch ended; then this
// process may be another one, and must not say that nothing proves it.
base::Result<void> note_forgotten(Connection& connection,
                                  const protocol::Incarnation& incarnation,
                                  protocol::IdPosition mark) {
    TWOFOLD_TRY(Forgotten known, read_forgotten(connection));
    if (known[incarnation] >= mark) return base::ok();
    std::string hex = incarnation.text();
    TWOFOLD_TRY(
        set_meta(connection, std::string(kForgottenEpochPrefix) + hex, {std::int64_t{mark.epoch}}));
    return set_meta(connection,
                    std::string(kForgottenSequencePrefix) + hex,
                    {static_cast<std::int64_t>(mark.sequence)});
}

}  // namespace

base::Result<void> prune(Connection& connection,
                         const protocol::Incarnation& incarnation,
                         const PruneMarks& marks) {
    TWOFOLD_TRY(bool deleted, prune_table(connection, "_tc_done", incarnation, marks.low_water));
    if (deleted) {
        TWOFOLD_TRY(note_forgotten(connection, incarnation, marks.low_water));
    }
    return prune_witnesses(connection, incarnation, marks.horizon, marks.keys_until_ms);
}

}  // namespace twofold::participant::sqlite
