#include "participant/postgres/script.h"

#include "base/assert.h"
#include "participant/postgres/key_owner.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace twofold::participant::postgres {

namespace {

using protocol::Isolation;

std::string_view isolation_name(Isolation isolation) {
    switch (isolation) {
        case Isolation::repeatable_read: return "REPEATABLE READ";
        case Isolation::serializable: return "SERIALIZABLE";
        case Isolation::read_committed:
        case Isolation::participant_default: break;
    }
    return "READ COMMITTED";
}

Isolation isolation_of(const Context& context, const protocol::BranchWork& work) {
    Isolation wanted = work.options.isolation;
    return wanted == Isolation::participant_default ? context.options.isolation : wanted;
}

std::string milliseconds_text(std::uint32_t wanted, std::chrono::milliseconds otherwise) {
    return std::to_string(wanted != 0 ? static_cast<std::int64_t>(wanted) : otherwise.count());
}

// An expression that is an error whose message is `text`. pg_backend_pid() keeps the planner from
// computing it beforehand.
std::string error_expression(std::string_view text) {
    return "pg_catalog.concat('" + std::string(text) +
           " (', pg_catalog.pg_backend_pid(), ')')::pg_catalog.int4";
}

constexpr std::string_view kForeignServerExists =
    "EXISTS (SELECT FROM pg_catalog.pg_foreign_server)";
constexpr std::string_view kXid = "pg_catalog.pg_current_xact_id_if_assigned()";

// How long the session may wait for our next message, in milliseconds. Between the calls of an
// interactive branch that is normal, as long as its transaction may take.
std::int64_t idle_limit(const Context& context, const BranchRequest& request) {
    constexpr std::int64_t kWithinMessage = 20'000;
    if (request.part == ScriptPart::whole) return kWithinMessage;
    std::int64_t left = request.work.deadline_ms;
    if (left == 0) left = context.options.limits.branch.count();
    return left + kWithinMessage;
}

// Every name is qualified here and below: the work may have changed search_path.
Statement settings_statement(const Context& context, const BranchRequest& request) {
    const Limits& limits = context.options.limits;
    const protocol::BranchOptions& wanted = request.work.options;
    std::string sql =
        "SELECT pg_catalog.set_config('lock_timeout', $1, true), "
        "pg_catalog.set_config('statement_timeout', $2, true), "
        // A client that dies in the middle of its message must not hold locks until TCP notices.
        "pg_catalog.set_config('idle_in_transaction_session_timeout', $3, true)";
    if (request.one_phase) {
        // Another server's part of the transaction would commit apart from ours.
        sql += ", CASE WHEN " + std::string(kForeignServerExists) + " THEN " +
               error_expression("Twofold: no one-phase commit in a database with foreign servers") +
               " END";
    }
    std::vector<Param> params = {
        {milliseconds_text(wanted.lock_timeout_ms, limits.lock_timeout)},
        {milliseconds_text(wanted.statement_timeout_ms, limits.statement_timeout)},
        {std::to_string(idle_limit(context, request))}};
    if (request.work.idempotency.has_value()) {
        // A division by zero when the key's work is committed already. Looked at before the work,
        // because the work could fail only because it was done before.
        sql +=
            ", pg_catalog.int4div(1, CASE WHEN EXISTS (SELECT FROM twofold.witness w "
            "WHERE w.key_hash = $4) THEN 0 ELSE 1 END)";
        params.push_back({key_hash_text(request.work.idempotency), 25});
    }
    return {std::move(sql), std::move(params)};
}

std::string xid_expression(bool one_phase, bool guarded) {
    std::string xid(kXid);
    if (one_phase) return xid + "::pg_catalog.text";
    std::string assigned =
        "COALESCE(" + xid + ", pg_catalog.pg_current_xact_id())::pg_catalog.text";
    if (!guarded) return assigned;
    // Writes through a foreign server need no xid here; PREPARE itself refuses them.
    return "CASE WHEN " + xid + " IS NULL AND NOT " + std::string(kForeignServerExists) + " THEN " +
           error_expression("Twofold: nothing was written, so nothing is prepared; no failure") +
           "::pg_catalog.text ELSE " + assigned + " END";
}

// A division by zero when the branch has written or locked one of our tables: what it has locked
// is locked until its end, and would stay locked while it is prepared. Free SQL only; statements of
// the configuration are its author's. Reading is harmless.
std::string own_tables_check(const std::string& oids) {
    return "pg_catalog.int4div(1, CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_locks l "
           "WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() "
           "AND l.relation OPERATOR(pg_catalog.=) ANY (" +
           oids +
           "::pg_catalog.oid[]) "
           "AND l.mode OPERATOR(pg_catalog.<>) ALL "
           "('{AccessShareLock,SIReadLock}'::pg_catalog.text[])) THEN 0 ELSE 1 END)";
}

Statement tail_statement(const Context& context, bool one_phase, bool guarded) {
    Statement statement{
        // Otherwise the gid could belong to another role, the commit could be lost, and the warning
        // that no standby has received it could be suppressed.
        "SELECT pg_catalog.set_config('role', $1, true), "
        "pg_catalog.set_config('synchronous_commit', $2, true), "
        "pg_catalog.set_config('client_min_messages', 'notice', true), " +
            xid_expression(one_phase, guarded) +
            ", pg_catalog.pg_current_wal_insert_lsn(), "
            "pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8)",
        {{context.role}, {context.options.synchronous_commit}}};
    if (context.options.raw_sql) {
        statement.sql += ", " + own_tables_check("$3");
        statement.params.push_back({context.own_tables});
    }
    return statement;
}

// The key of a two-phase branch is in its coordinator's decision: a row here would keep another
// branch of the key waiting while this one is prepared.
Statement witness_statement(const protocol::BranchWork& work, bool one_phase) {
    std::optional<protocol::IdempotencyKey> key =
        one_phase ? work.idempotency : std::optional<protocol::IdempotencyKey>();
    return {
        "INSERT INTO twofold.witness (gid, key_hash, fingerprint, outcome) "
        "SELECT $1, $2, $3, 'committed' WHERE " +
            std::string(kXid) + " IS NOT NULL",
        {{work.gid, 25}, {key_hash_text(key), 25}, {fingerprint_text(key), 25}}};
}

// What can only be judged when the answer is here: expectations, and results beyond the limits.
bool needs_check(const std::vector<WorkStatement>& statements) {
    return std::ranges::any_of(statements, [](const WorkStatement& statement) {
        static constexpr std::string_view kReturning = "returning";
        auto same_letter = [](char a, char b) { return (a | 0x20) == b; };
        std::string word = work::first_keyword(statement.sql, work::kPostgresSql);
        bool changes = word == "insert" || word == "update" || word == "delete" || word == "set";
        return statement.expect_rows.has_value() || !changes ||
               !std::ranges::search(statement.sql, kReturning, same_letter).empty();
    });
}

}  // namespace

namespace {

void add_beginning(const Context& context,
                   const BranchRequest& request,
                   Cleanliness session,
                   Script& script) {
    std::vector<Statement>& out = script.statements;
    out = cleaning_statements(session);
    script.begin = out.size();
    out.push_back({"BEGIN ISOLATION LEVEL " +
                   std::string(isolation_name(isolation_of(context, request.work)))});
    script.settings = out.size();
    out.push_back(settings_statement(context, request));
}

void add_work(const BranchRequest& request, Script& script) {
    script.work = script.statements.size();
    script.work_count = request.statements.size();
    for (const WorkStatement& statement : request.statements) {
        script.statements.push_back({statement.sql, statement.params, true});
    }
}

void add_end(const Context& context, const BranchRequest& request, Script& script) {
    std::vector<Statement>& out = script.statements;
    script.constraints = out.size();
    out.push_back({"SET CONSTRAINTS ALL IMMEDIATE"});
    script.tail = out.size();
    out.push_back(tail_statement(context, request.one_phase, script.guarded));
    if (request.one_phase || context.options.witness) {
        script.witness = out.size();
        out.push_back(witness_statement(request.work, request.one_phase));
    }
    script.end = out.size();
    script.end_apart = request.one_phase && needs_check(request.statements);
    if (script.end_apart) return;
    if (request.one_phase) {
        out.push_back(end_statement());
    } else {
        out.push_back({"PREPARE TRANSACTION '" + request.work.gid + "'"});
    }
}

}  // namespace

Script make_script(const Context& context, const BranchRequest& request, Cleanliness session) {
    TWOFOLD_ASSERT(request.work.gid.find('\'') == std::string::npos, "a gid that needs quoting");
    Script script;
    script.one_phase = request.one_phase;
    script.checks_key = request.work.idempotency.has_value();
    // At SERIALIZABLE even a reader must stay until the end: its reads decide who may commit.
    script.guarded =
        !request.one_phase && isolation_of(context, request.work) != Isolation::serializable;
    bool is_whole = request.part == ScriptPart::whole;
    if (is_whole || request.part == ScriptPart::first_execute) {
        add_beginning(context, request, session, script);
    }
    if (request.part != ScriptPart::prepare) add_work(request, script);
    bool stays_open =
        request.part == ScriptPart::first_execute || request.part == ScriptPart::next_execute;
    if (stays_open && context.options.raw_sql) {
        // The application may keep it open for an hour, and with it a lock on our tables.
        script.own_tables = script.statements.size();
        script.statements.push_back({"SELECT " + own_tables_check("$1"), {{context.own_tables}}});
    }
    if (is_whole || request.part == ScriptPart::prepare) add_end(context, request, script);
    return script;
}

Statement end_statement() { return {"COMMIT"}; }

Reply joined(Reply rest, Reply end) {
    std::size_t offset = rest.results.size();
    for (Notice& notice : end.notices) {
        notice.answered_before += offset;
        rest.notices.push_back(std::move(notice));
    }
    std::ranges::move(end.results, std::back_inserter(rest.results));
    rest.loss = end.loss;
    rest.loss_text = std::move(end.loss_text);
    rest.transaction = end.transaction;
    return rest;
}

}  // namespace twofold::participant::postgres
