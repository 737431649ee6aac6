#include "participant/postgres/admin.h"

#include <algorithm>
#include <utility>

namespace twofold::participant::postgres {

namespace {

using base::Errc;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kFirstPause{2};
constexpr milliseconds kLongestPause{100};

// Asks until the backend is gone.
class BackendEnd : public std::enable_shared_from_this<BackendEnd> {
public:
    BackendEnd(Context& context, Pool& admin, const Backend& backend, DoneCallback done)
        : context_(context),
          admin_(admin),
          backend_(backend),
          done_(std::move(done)),
          until_(steady_clock::now() + context.options.limits.session_end),
          timer_(context.loop) {}

    void ask() {
        Statement statement{
            "SELECT pg_catalog.pg_terminate_backend(a.pid) "
            "FROM pg_catalog.pg_stat_activity a WHERE a.pid = $1::int AND " +
                std::string(kStartedUs) + " = $2::bigint",
            {{std::to_string(backend_.pid)}, {std::to_string(backend_.started_us)}}};
        admin_.run({std::move(statement)},
                   context_.options.limits.admin,
                   [self = shared_from_this()](const Reply& reply) { self->on_reply(reply); });
    }

private:
    void on_reply(const Reply& reply) {
        if (reply.ok() && reply.results[0].rows.empty()) {
            ++context_.counters.sessions_ended;
            return done_(base::ok());
        }
        if (context_.stopping || steady_clock::now() >= until_) {
            std::string why = reply.ok() ? "it is still there" : reply.problem();
            return done_(base::fail(Errc::timed_out,
                                    "ending backend " + std::to_string(backend_.pid) + ": " + why));
        }
        timer_.start(pause_, [self = shared_from_this(), alive = std::weak_ptr(context_.alive)] {
            if (!alive.expired()) self->ask();
        });
        pause_ = std::min(pause_ * 2, kLongestPause);
    }

    Context& context_;
    Pool& admin_;
    Backend backend_;
    DoneCallback done_;
    steady_clock::time_point until_;
    async::Timer timer_;
    milliseconds pause_ = kFirstPause;
};

// pg_prepared_xacts has the low half of the transaction number. Prepared transactions are younger
// than 2^31 transactions, so the next number to come tells the high half.
std::uint64_t whole_xid(std::uint64_t low, std::uint64_t next) {
    std::uint64_t xid = (next & ~0xffffffffULL) | low;
    return xid >= next && xid >= (1ULL << 32U) ? xid - (1ULL << 32U) : xid;
}

}  // namespace

void end_backend(Context& context, Pool& admin, const Backend& backend, DoneCallback done) {
    std::make_shared<BackendEnd>(context, admin, backend, std::move(done))->ask();
}

Statement listing_statement() {
    return {
        "SELECT p.gid, p.transaction::text, "
        "(extract(epoch FROM pg_catalog.clock_timestamp() - p.prepared) * 1000)::bigint, "
        "p.owner = current_user OR r.rolsuper, "
        "pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text, "
        "pg_catalog.pg_current_wal_insert_lsn(), "
        "pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) "
        "FROM pg_catalog.pg_prepared_xacts p, pg_catalog.pg_roles r "
        "WHERE p.database = pg_catalog.current_database() AND r.rolname = current_user"};
}

Statement foreign_servers_statement() {
    return {"SELECT EXISTS (SELECT FROM pg_catalog.pg_foreign_server)"};
}

std::vector<protocol::PreparedBranch> read_listing(const Context& context,
                                                   const StatementResult& result) {
    std::vector<protocol::PreparedBranch> listed;
    for (std::size_t row = 0; row < result.rows.size(); ++row) {
        std::string gid = result.text(row, 0);
        std::optional<protocol::ParsedGid> parsed = protocol::parse_gid(gid);
        if (!parsed.has_value() || parsed->participant != context.uuid) continue;
        protocol::PreparedBranch branch;
        branch.key = parsed->key;
        branch.gid = std::move(gid);
        branch.age_ms = parse_number(result.text(row, 2));
        branch.finishable = result.text(row, 3) == "t";
        protocol::ProofToken proof;
        proof.xid = whole_xid(parse_number(result.text(row, 1)), parse_number(result.text(row, 4)));
        proof.position = {parse_timeline(result.text(row, 6)), parse_lsn(result.text(row, 5))};
        // Whether it wrote one is not known here: the option may have been off then.
        proof.witness = false;
        branch.proof = proof;
        listed.push_back(std::move(branch));
    }
    return listed;
}

std::string quoted_gid(const std::string& gid) {
    bool plain = std::ranges::all_of(gid, [](char c) {
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        return letter || (c >= '0' && c <= '9') || c == '_' || c == '+' || c == '/' || c == '=' ||
               c == '-';
    });
    return plain ? "'" + gid + "'" : "''";
}

}  // namespace twofold::participant::postgres
