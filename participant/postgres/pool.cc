#include "participant/postgres/pool.h"

#include "base/log.h"

#include <algorithm>
#include <utility>

namespace twofold::participant::postgres {

namespace {

using base::Errc;
using base::Result;
using std::chrono::milliseconds;

constexpr milliseconds kReopenPause{200};

}  // namespace

Pool::Pool(Context& context, Options options)
    : context_(context),
      options_(options),
      limits_(context.loop,
              [this](std::uint64_t ticket) {
                  auto found = std::ranges::find(waiters_, ticket, &Waiter::ticket);
                  if (found == waiters_.end()) return;
                  SessionCallback done = std::move(found->done);
                  waiters_.erase(found);
                  done(base::fail(Errc::timed_out, "no free database connection in time"));
              }),
      reopen_(context.loop) {}

Pool::~Pool() { close(); }

void Pool::open(std::function<void(Result<void>)> done) {
    open_done_ = std::move(done);
    keep_open();
    check_opened();
}

void Pool::check_opened() {
    if (!open_done_ || open_count() < options_.kept_open) return;
    auto done = std::exchange(open_done_, nullptr);
    done(base::ok());
}

void Pool::keep_open() {
    if (closed_ || context_.fenced) return;
    while (!closed_ && sessions_.size() < options_.kept_open) open_one();
}

Pool::Ticket Pool::acquire(milliseconds limit, SessionCallback done) {
    Ticket ticket = ++last_ticket_;
    if (closed_ || context_.fenced) {
        done(base::fail(Errc::unavailable, closed_ ? "shutting down" : context_.fenced_text));
        return ticket;
    }
    waiters_.push_back({ticket, std::move(done)});
    limits_.arm(ticket, limit);
    serve();
    return ticket;
}

void Pool::withdraw(Ticket ticket) {
    auto found = std::ranges::find(waiters_, ticket, &Waiter::ticket);
    if (found == waiters_.end()) return;
    limits_.cancel(ticket);
    waiters_.erase(found);
}

void Pool::serve() {
    while (!closed_ && !waiters_.empty() && !idle_.empty()) {
        SessionPtr session = std::move(idle_.back());
        idle_.pop_back();
        Waiter waiter = std::move(waiters_.front());
        waiters_.pop_front();
        limits_.cancel(waiter.ticket);
        session->connection.on_lost(nullptr);
        waiter.done(session);
    }
    // One that is being cleaned comes back much sooner than a new one.
    while (!closed_ && opening_ + cleaning_ < waiters_.size() &&
           sessions_.size() < options_.open_max) {
        open_one();
    }
}

void Pool::open_one() {
    ++opening_;
    // The attempt may fail inside of this call, before the session is known here.
    auto slot = std::make_shared<SessionPtr>();
    auto early = std::make_shared<std::optional<Result<SessionPtr>>>();
    *slot = open_session(context_, options_.use, [this, slot, early](Result<SessionPtr> result) {
        if (*slot == nullptr) {
            early->emplace(std::move(result));
        } else {
            on_opened(std::exchange(*slot, nullptr), result);
        }
    });
    sessions_.insert(*slot);
    if (early->has_value()) {
        context_.loop.post([this, slot, early, alive = std::weak_ptr(alive_)] {
            if (alive.expired()) return;
            on_opened(std::exchange(*slot, nullptr), **early);
        });
    }
}

void Pool::on_opened(const SessionPtr& session, const Result<SessionPtr>& result) {
    --opening_;
    if (closed_) return;
    if (!result.has_value()) {
        sessions_.erase(session);
        return on_open_failed(result.error());
    }
    make_idle(session);
    check_opened();
}

void Pool::on_open_failed(const base::Error& error) {
    base::log_event(base::LogLevel::warning, "postgres_connect_failed", error.context, {});
    if (open_done_) {
        auto done = std::exchange(open_done_, nullptr);
        return done(error);
    }
    // Those who wait can still be served if a session is left.
    if (sessions_.empty() || context_.fenced) fail_waiters(error);
    if (sessions_.size() < options_.kept_open) {
        reopen_.start(kReopenPause, [this] { keep_open(); });
    }
}

void Pool::fail_waiters(const base::Error& error) {
    std::deque<Waiter> failed = std::exchange(waiters_, {});
    for (Waiter& waiter : failed) {
        limits_.cancel(waiter.ticket);
        waiter.done(error);
    }
}

void Pool::make_idle(const SessionPtr& session) {
    session->connection.on_lost([this, weak = std::weak_ptr(session)](const std::string& why) {
        base::log_event(base::LogLevel::info, "postgres_connection_lost", why, {});
        if (SessionPtr lost = weak.lock()) drop(lost);
    });
    idle_.push_back(session);
    serve();
}

void Pool::release(const SessionPtr& session) {
    if (closed_) return;
    if (session->cleanliness == Cleanliness::broken || !session->connection.is_open() ||
        session->connection.is_bloated()) {
        return drop(session);
    }
    if (session->cleanliness == Cleanliness::clean || !waiters_.empty()) return make_idle(session);
    clean(session);
}

void Pool::run(std::vector<Statement> statements,
               milliseconds limit,
               Connection::ReplyCallback done) {
    acquire(limit,
            [this, statements = std::move(statements), limit, done = std::move(done)](
                const Result<SessionPtr>& session) mutable {
                if (!session.has_value()) {
                    Reply reply;
                    reply.loss = Loss::lost;
                    reply.loss_text = session.error().context;
                    return done(std::move(reply));
                }
                Exchange exchange;
                exchange.statements = std::move(statements);
                exchange.limit = limit;
                Session& borrowed = *session.value();
                borrowed.connection.run(
                    std::move(exchange),
                    [this, held = session.value(), done = std::move(done)](Reply reply) {
                        if (reply.transaction != TransactionStatus::idle) {
                            held->cleanliness = Cleanliness::broken;
                        }
                        release(held);
                        done(std::move(reply));
                    });
            });
}

void Pool::clean(const SessionPtr& session) {
    Exchange exchange;
    exchange.statements = cleaning_statements(session->cleanliness);
    exchange.limit = context_.options.limits.admin;
    std::weak_ptr<Session> weak = session;
    ++cleaning_;
    session->connection.run(std::move(exchange), [this, weak](const Reply& reply) {
        --cleaning_;
        SessionPtr cleaned = weak.lock();
        if (closed_ || cleaned == nullptr) return;
        // A session that cannot be cleaned is not used again.
        if (!reply.ok()) return drop(cleaned);
        cleaned->cleanliness = Cleanliness::clean;
        make_idle(cleaned);
    });
}

void Pool::drop(const SessionPtr& session) {
    // The caller's may be the one in sessions_.
    SessionPtr held = session;  // NOLINT(performance-unnecessary-copy-initialization)
    std::erase(idle_, held);
    sessions_.erase(held);
    held->connection.close();
    if (closed_) return;
    serve();
    if (sessions_.size() < options_.kept_open) {
        reopen_.start(kReopenPause, [this] { keep_open(); });
    }
}

void Pool::close() {
    if (closed_) return;
    closed_ = true;
    reopen_.cancel();
    limits_.clear();
    open_done_ = nullptr;
    idle_.clear();
    // Whoever has borrowed a session hears of its end from the exchange that runs on it.
    std::set<SessionPtr> sessions = std::exchange(sessions_, {});
    for (const SessionPtr& session : sessions) session->connection.close();
    fail_waiters(base::fail(Errc::cancelled, "shutting down"));
}

}  // namespace twofold::participant::postgres
