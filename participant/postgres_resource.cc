#include "participant/postgres_resource.h"

#include "participant/postgres/admin.h"
#include "participant/postgres/finish.h"
#include "participant/postgres/pool.h"
#include "participant/postgres/pruner.h"
#include "participant/postgres/sender_store.h"
#include "participant/postgres/start.h"
#include "participant/postgres/work_runner.h"

#include <utility>

namespace twofold::participant {

namespace {

namespace reason = protocol::reason;
using base::Errc;
using base::fail;
using base::Result;
using postgres::make_reason;
using postgres::Pool;
using postgres::Reply;
using postgres::SessionUse;
using protocol::FinishStatus;

// Administration may wait for a backend to end while listings go on.
constexpr std::size_t kAdminConnectionsMax = 2;

}  // namespace

struct PostgresResource::Impl : std::enable_shared_from_this<PostgresResource::Impl> {
    Impl(async::EventLoop& loop, postgres::PostgresOptions options)
        : context(loop, std::move(options)),
          work(context, {SessionUse::work, 0, context.options.work_connections}),
          interactive(context, {SessionUse::work, 0, context.options.interactive_connections}),
          finish(context,
                 {SessionUse::finish,
                  context.options.finish_connections,
                  context.options.finish_connections}),
          admin(context, {SessionUse::admin, 1, kAdminConnectionsMax}),
          finisher(context, finish, admin),
          runner(context, {work, interactive, admin}, finisher),
          pruner(context, admin) {}

    void open_pools(Result<protocol::ResourceStart> started, const StartCallback& done);
    [[nodiscard]] bool ready() const { return started && !context.fenced && !context.stopping; }
    [[nodiscard]] protocol::FinishResult not_ready_result() const;
    [[nodiscard]] std::string not_ready_text() const;

    postgres::Context context;
    Pool work;
    Pool interactive;
    Pool finish;
    Pool admin;
    postgres::Finisher finisher;
    postgres::WorkRunner runner;
    postgres::Pruner pruner;
    std::shared_ptr<postgres::StartAttempt> attempt;
    bool started = false;
};

PostgresResource::PostgresResource(async::EventLoop& loop, postgres::PostgresOptions options)
    : impl_(std::make_shared<Impl>(loop, std::move(options))) {}

PostgresResource::~PostgresResource() {
    impl_->context.stopping = true;
    impl_->attempt = nullptr;
    impl_->runner.forget();
    impl_->work.close();
    impl_->interactive.close();
    impl_->finish.close();
    impl_->admin.close();
}

// ---- start and stop
// ------------------------------------------------------------------------------

void PostgresResource::start(StartCallback done) {
    if (impl_->started) return done(fail(Errc::already_exists, "the resource has started already"));
    std::weak_ptr<Impl> weak = impl_;
    impl_->attempt =
        begin_start(impl_->context, [weak, done](Result<protocol::ResourceStart> started) {
            auto impl = weak.lock();
            if (impl == nullptr || impl->context.stopping) return;
            if (!started.has_value()) return done(std::move(started));
            impl->open_pools(std::move(started), done);
        });
}

// The sessions for phase 2 exist before the first branch is prepared: a branch may lock others out
// of the log-in itself.
void PostgresResource::Impl::open_pools(Result<protocol::ResourceStart> result,
                                        const StartCallback& done) {
    auto kept = std::make_shared<Result<protocol::ResourceStart>>(std::move(result));
    admin.open([this, kept, done](const Result<void>& admin_open) {
        if (!admin_open.has_value()) return done(admin_open.error());
        finish.open([this, kept, done](const Result<void>& finish_open) {
            if (!finish_open.has_value()) return done(finish_open.error());
            started = true;
            done(std::move(*kept));
        });
    });
}

void PostgresResource::stop(std::function<void()> done) {
    impl_->context.stopping = true;
    impl_->attempt = nullptr;
    impl_->runner.stop();
    impl_->work.close();
    impl_->interactive.close();
    impl_->finish.close();
    impl_->admin.close();
    impl_->context.alive.reset();  // what waits for another try is over, too
    done();
}

std::string PostgresResource::Impl::not_ready_text() const {
    return context.fenced ? context.fenced_text : "the database is not ready";
}

protocol::FinishResult PostgresResource::Impl::not_ready_result() const {
    return {FinishStatus::unknown, make_reason(reason::kNotReady, not_ready_text())};
}

// ---- work
// ----------------------------------------------------------------------------------------

namespace {

protocol::WorkResult refused(std::string_view code, std::string text) {
    protocol::WorkResult result;
    result.status = protocol::WorkStatus::refused;
    result.executed = false;
    result.reason = make_reason(code, std::move(text));
    return result;
}

}  // namespace

void PostgresResource::execute_prepare(protocol::BranchWork work, WorkCallback done) {
    if (!impl_->ready()) return done(refused(reason::kNotReady, impl_->not_ready_text()));
    impl_->runner.execute(std::move(work), false, std::move(done));
}

void PostgresResource::one_phase(protocol::BranchWork work, WorkCallback done) {
    if (!impl_->ready()) return done(refused(reason::kNotReady, impl_->not_ready_text()));
    impl_->runner.execute(std::move(work), true, std::move(done));
}

std::optional<protocol::Reason> PostgresResource::check_work(const protocol::JsonText& work) const {
    postgres::ParsedWork parsed = postgres::parse_work(work, impl_->context.options);
    if (parsed.refusal.empty()) return std::nullopt;
    return std::move(parsed.refusal);
}

void PostgresResource::execute(protocol::BranchWork work,
                               std::uint32_t sequence,
                               WorkCallback done) {
    if (!impl_->ready()) return done(refused(reason::kNotReady, impl_->not_ready_text()));
    impl_->runner.execute_part(std::move(work), sequence, std::move(done));
}

void PostgresResource::prepare_executed(const protocol::BranchKey& key, WorkCallback done) {
    if (!impl_->ready()) return done(refused(reason::kNotReady, impl_->not_ready_text()));
    impl_->runner.prepare_executed(key, std::move(done));
}

void PostgresResource::cancel(const protocol::BranchKey& key, DoneCallback done) {
    impl_->runner.cancel(key, std::move(done));
}

// ---- finishing
// -----------------------------------------------------------------------------------

void PostgresResource::commit(protocol::FinishRequest request, FinishCallback done) {
    if (!impl_->ready()) return done(impl_->not_ready_result());
    if (!request.operator_reason.empty()) {
        return impl_->finisher.resolve(request, protocol::Decision::commit, done);
    }
    impl_->finisher.commit(std::move(request), std::move(done));
}

void PostgresResource::rollback(protocol::FinishRequest request, FinishCallback done) {
    if (!impl_->ready()) return done(impl_->not_ready_result());
    // "Not found" would be a lie while its session may still prepare it.
    if (impl_->runner.may_run(request.key)) {
        return done({FinishStatus::unknown,
                     make_reason(reason::kUnavailable, "the branch's session has not ended yet")});
    }
    if (!request.operator_reason.empty()) {
        return impl_->finisher.resolve(request, protocol::Decision::abort, done);
    }
    impl_->finisher.rollback(std::move(request), std::move(done));
}

void PostgresResource::settle_one_phase(const protocol::BranchKey& key,
                                        const std::optional<protocol::IdempotencyKey>& idempotency,
                                        FinishCallback done) {
    if (!impl_->ready()) return done(impl_->not_ready_result());
    impl_->finisher.settle_one_phase(
        protocol::make_gid(key, impl_->context.uuid), idempotency, std::move(done));
}

// ---- the rest
// ------------------------------------------------------------------------------------

void PostgresResource::list(ListCallback done) {
    if (!impl_->ready()) return done(fail(Errc::unavailable, impl_->not_ready_text()));
    impl_->admin.run({postgres::listing_statement(), postgres::foreign_servers_statement()},
                     impl_->context.options.limits.admin,
                     [impl = impl_.get(), done = std::move(done)](const Reply& reply) {
                         if (!reply.ok()) return done(fail(Errc::unavailable, reply.problem()));
                         impl->context.has_foreign_servers = reply.results[1].text(0, 0) == "t";
                         done(postgres::read_listing(impl->context, reply.results[0]));
                     });
}

void PostgresResource::persist_sender(const protocol::SenderStamp& sender, DoneCallback done) {
    if (!impl_->ready()) return done(fail(Errc::unavailable, impl_->not_ready_text()));
    postgres::persist_sender(impl_->context, impl_->admin, sender, std::move(done));
}

void PostgresResource::note_marks(const protocol::Incarnation& incarnation,
                                  protocol::IdPosition low_water,
                                  protocol::IdPosition horizon) {
    impl_->pruner.note_marks(incarnation, low_water, horizon);
}

bool PostgresResource::offers_one_phase() const { return !impl_->context.has_foreign_servers; }
protocol::Position PostgresResource::position() const { return impl_->context.position; }
const postgres::Counters& PostgresResource::counters() const { return impl_->context.counters; }
bool PostgresResource::fenced() const { return impl_->context.fenced; }

}  // namespace twofold::participant
