// Sessions of one kind, opened when needed up to a maximum, lent out first come, first served. A
// few connections serve many branches, because a prepared branch does not need the session that
// made it; more than a few per processor make the server slower.
//
// A session comes back in the state its user left it in. If somebody waits, it is handed on as it
// is and the cleaning goes in front of the next message; otherwise it is cleaned at once.
// Thread: the loop's.
#pragma once

#include "async/timer.h"
#include "async/timer_set.h"
#include "participant/postgres/session.h"

#include <chrono>
#include <deque>
#include <memory>
#include <set>
#include <vector>

namespace twofold::participant::postgres {

class Pool {
public:
    struct Options {
        SessionUse use = SessionUse::work;
        std::size_t kept_open = 0;  // opened beforehand, and again when lost
        std::size_t open_max = 1;
    };

    Pool(Context& context, Options options);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    // Opens what is to be kept open and calls back when it is, or with the first error.
    void open(std::function<void(base::Result<void>)> done);

    // Calls back with a session, or with an error when none could be had: nothing was done. The
    // number takes the request back; the callback is not called then.
    using Ticket = std::uint64_t;
    Ticket acquire(std::chrono::milliseconds limit, SessionCallback done);
    void withdraw(Ticket ticket);

    // Gives a session back; see Session::cleanliness.
    void release(const SessionPtr& session);

    // Borrows a session, runs the statements on it and gives it back: for sessions that run no SQL
    // of clients. Without a session the reply is a loss. A session that stays inside of a
    // transaction is not used again.
    void run(std::vector<Statement> statements,
             std::chrono::milliseconds limit,
             Connection::ReplyCallback done);

    // Closes everything; who waits gets an error.
    void close();

    [[nodiscard]] std::size_t open_count() const { return sessions_.size() - opening_; }

private:
    struct Waiter {
        Ticket ticket = 0;
        SessionCallback done;
    };

    void serve();
    void open_one();
    void on_opened(const SessionPtr& session, const base::Result<SessionPtr>& result);
    void on_open_failed(const base::Error& error);
    void make_idle(const SessionPtr& session);
    void clean(const SessionPtr& session);
    void drop(const SessionPtr& session);
    void keep_open();
    void check_opened();
    void fail_waiters(const base::Error& error);

    Context& context_;
    Options options_;
    std::set<SessionPtr> sessions_;  // all: being opened, idle, lent, being cleaned
    std::vector<SessionPtr> idle_;
    std::deque<Waiter> waiters_;
    std::size_t opening_ = 0;
    std::size_t cleaning_ = 0;
    Ticket last_ticket_ = 0;
    bool closed_ = false;
    std::function<void(base::Result<void>)> open_done_;
    async::TimerSet limits_;
    async::Timer reopen_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for what was posted
};

}  // namespace twofold::participant::postgres
