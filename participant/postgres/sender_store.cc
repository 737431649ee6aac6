#include "participant/postgres/sender_store.h"

#include "base/crash_point.h"
#include "base/log.h"

#include <utility>

namespace twofold::participant::postgres {

namespace {

using base::Errc;
using base::fail;

constexpr std::string_view kLockNotAvailable = "55P03";
constexpr std::chrono::milliseconds kLockWait{1'000};

std::vector<Statement> statements_for(const protocol::SenderStamp& sender) {
    return {
        // For this exchange only: what follows is in the same implicit transaction.
        {"SELECT pg_catalog.set_config('lock_timeout', $1, true)",
         {{std::to_string(kLockWait.count())}}},
        {"INSERT INTO twofold.sender AS s (incarnation, epoch, nonce, position) "
         "VALUES ($1, $2::bigint, $3::bigint, $4::bigint) ON CONFLICT (incarnation) DO UPDATE SET "
         "epoch = greatest(s.epoch, excluded.epoch), "
         "nonce = CASE WHEN excluded.epoch >= s.epoch THEN excluded.nonce ELSE s.nonce END, "
         "position = greatest(s.position, excluded.position)",
         {{sender.incarnation.text()},
          {std::to_string(sender.epoch)},
          {std::to_string(static_cast<std::int64_t>(sender.start_nonce))},
          {std::to_string(static_cast<std::int64_t>(sender.position))}}}};
}

// By the register and by name: a statement of a branch may have changed either.
Statement end_our_holders(const Context& context) {
    return {
        "SELECT a.pid, pg_catalog.pg_terminate_backend(a.pid) "
        "FROM pg_catalog.pg_stat_activity a LEFT JOIN twofold.session s "
        "ON s.pid = a.pid AND s.started_us = " +
            std::string(kStartedUs) +
            " WHERE a.pid <> pg_catalog.pg_backend_pid() "
            "AND (s.pid IS NOT NULL OR a.application_name LIKE $1) "
            "AND EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND l.granted "
            "AND l.mode NOT IN ('AccessShareLock', 'SIReadLock') "
            "AND l.relation = 'twofold.sender'::pg_catalog.regclass)",
        {{"twofold " + context.uuid.text() + " %"}}};
}

void report(const Reply& reply, const ResourcePort::DoneCallback& done) {
    if (!reply.ok()) return done(fail(Errc::unavailable, reply.problem()));
    done(base::ok());
}

}  // namespace

void persist_sender(Context& context,
                    Pool& admin,
                    const protocol::SenderStamp& sender,
                    ResourcePort::DoneCallback done) {
    auto again = [&context, &admin, sender, done](const Reply& ended) {
        if (!ended.ok()) return report(ended, done);
        for (std::size_t row = 0; row < ended.results[0].rows.size(); ++row) {
            base::log_event(base::LogLevel::warning,
                            "postgres_session_ended",
                            "a branch's session held a lock on our table of senders",
                            {{"pid", ended.results[0].text(row, 0)}});
        }
        admin.run(statements_for(sender), context.options.limits.admin, [done](const Reply& reply) {
            report(reply, done);
        });
    };
    TWOFOLD_CRASH_POINT(pg_before_sender);
    admin.run(
        statements_for(sender),
        context.options.limits.admin,
        [&context, &admin, again = std::move(again), done = std::move(done)](const Reply& reply) {
            if (reply.sqlstate() != kLockNotAvailable) return report(reply, done);
            admin.run({end_our_holders(context)}, context.options.limits.admin, again);
        });
}

}  // namespace twofold::participant::postgres
