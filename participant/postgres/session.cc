#include "participant/postgres/session.h"

#include <utility>

namespace twofold::participant::postgres {

namespace {

using base::Errc;
using base::Result;

Param text_param(std::string value) { return {std::move(value), 0}; }

// The row of twofold.session need not survive a crash of the server, because no session does: it is
// committed without waiting for the disk, but is visible before the first branch runs.
std::vector<Statement> opening_statements(const Context& context, SessionUse use) {
    std::vector<Statement> out;
    if (use != SessionUse::work) {
        // COMMIT PREPARED that waits for a standby: the server gives up first, and says how far it
        // came.
        const Limits& limits = context.options.limits;
        std::string timeout = std::to_string(
            (use == SessionUse::finish ? limits.standby_wait : limits.admin).count());
        out.push_back(
            {"SELECT pg_catalog.set_config('statement_timeout', $1, false), "
             "pg_catalog.set_config('client_min_messages', 'notice', false), "
             "pg_catalog.set_config('synchronous_commit', $2, false), "
             "pg_catalog.set_config('search_path', 'pg_catalog', false), "
             "pg_catalog.set_config('default_transaction_isolation', "
             "'read committed', false)",
             {text_param(timeout), text_param(context.options.synchronous_commit)},
             false,
             true});
    }
    out.push_back({"BEGIN ISOLATION LEVEL READ COMMITTED"});
    out.push_back({"SELECT pg_catalog.set_config('synchronous_commit', 'off', true)"});
    out.push_back(
        {"INSERT INTO twofold.session AS s (pid, started_us, epoch) "
         "SELECT a.pid, " +
             std::string(kStartedUs) +
             ", $1::bigint FROM pg_catalog.pg_stat_activity a "
             "WHERE a.pid = pg_catalog.pg_backend_pid() "
             "ON CONFLICT (pid) DO UPDATE SET started_us = excluded.started_us, "
             "epoch = excluded.epoch RETURNING s.pid, s.started_us",
         {text_param(std::to_string(context.epoch))}});
    // A plain SELECT: row locks would be kept by prepared branches. Its own statement after the
    // INSERT: a start that commits its epoch later than this sees our row.
    out.push_back({"COMMIT"});
    out.push_back(
        {"SELECT m.epoch, m.uuid, "
         "(SELECT system_identifier FROM pg_catalog.pg_control_system()), "
         "(SELECT oid FROM pg_catalog.pg_database "
         "WHERE datname = pg_catalog.current_database()) FROM twofold.meta m"});
    return out;
}

// Nothing when the database is the one that start() saw, in our epoch.
std::string why_not_ours(const Context& context, const StatementResult& result) {
    if (result.rows.size() != 1) return "the table twofold.meta was emptied";
    if (result.text(0, 1) != context.uuid.text()) {
        return "the database belongs to participant " + result.text(0, 1) + " now";
    }
    if (result.text(0, 2) != context.identity.fields[0] ||
        result.text(0, 3) != context.identity.fields[1]) {
        return "the connection string leads to another database now (system identifier " +
               result.text(0, 2) + ", database " + result.text(0, 3) + ")";
    }
    std::uint64_t epoch = parse_number(result.text(0, 0));
    if (epoch > context.epoch) {
        return "a newer sidecar of this participant has started (epoch " + std::to_string(epoch) +
               ")";
    }
    if (epoch < context.epoch) {
        return "the database went back: its participant epoch is " + std::to_string(epoch) +
               ", ours is " + std::to_string(context.epoch);
    }
    return "";
}

void on_registered(Context& context,
                   const SessionPtr& session,
                   const Reply& reply,
                   const SessionCallback& done) {
    if (!reply.ok()) {
        return done(base::fail(Errc::unavailable, "registering a session: " + reply.problem()));
    }
    std::string problem = why_not_ours(context, reply.results.back());
    if (!problem.empty()) {
        context.fence(problem);
        return done(base::fail(Errc::locked, problem));
    }
    const StatementResult& row = reply.results[reply.results.size() - 3];
    session->backend = {parse_number(row.text(0, 0)), parse_number(row.text(0, 1))};
    if (session->backend.pid == 0) {
        return done(base::fail(Errc::unavailable, "the server does not list our own session"));
    }
    done(session);
}

}  // namespace

SessionPtr open_session(Context& context, SessionUse use, const SessionCallback& done) {
    auto session = std::make_shared<Session>(context);
    session->connection.open(context.host_lookup,
                             context.options.dsn,
                             context.application_name(),
                             context.options.limits.connect,
                             [&context, use, session, done](Result<void> opened) {
                                 if (!opened.has_value()) return done(opened.error());
                                 Exchange exchange;
                                 exchange.statements = opening_statements(context, use);
                                 exchange.limit = context.options.limits.connect;
                                 session->connection.run(
                                     std::move(exchange),
                                     [&context, session, done](const Reply& reply) {
                                         on_registered(context, session, reply, done);
                                     });
                             });
    return session;
}

std::vector<Statement> cleaning_statements(Cleanliness cleanliness) {
    std::vector<Statement> out;
    if (cleanliness == Cleanliness::failed) out.push_back({"ROLLBACK", {}, false, true});
    // In the segment of what follows: when it fails, nothing of the next branch runs.
    if (cleanliness != Cleanliness::clean) out.push_back({"DISCARD ALL"});
    return out;
}

}  // namespace twofold::participant::postgres
