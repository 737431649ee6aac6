#include "app/coordinator_service.h"

#include "app/coordinator_metrics.h"
#include "app/log_adapter.h"
#include "app/openapi_route.h"
#include "app/participant_registry.h"
#include "app/server_limits.h"
#include "async/worker_thread.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "base/rng.h"
#include "contract/documents.h"
#include "coordinator/api.h"
#include "coordinator/directory_api.h"
#include "coordinator/driver.h"
#include "coordinator/operator_api.h"
#include "coordinator/problems.h"
#include "http/problem.h"
#include "http/router.h"
#include "http/server.h"
#include "recovery/recover.h"
#include "wal/posix_file.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace twofold::app {

namespace {

using http::Method;
using http::Request;
using http::ResponseSink;

constexpr unsigned kRecoveringRetrySeconds = 1;
constexpr std::size_t kOtherDescriptors = 512;
constexpr std::size_t kPerParticipant = 16;

base::Result<recovery::Recovered> read_log(wal::Directory& directory,
                                           const CoordinatorConfig& config) {
    recovery::RecoverOptions options;
    options.incarnation_if_new.bytes = base::random_bytes<10>();
    options.key = base::random_bytes<32>();
    options.writer.segment_size_bytes = config.segment_size_bytes;
    options.outcome_words_per_file =
        TWOFOLD_TEST_NUMBER(TWOFOLD_OUTCOME_WORDS_PER_FILE, options.outcome_words_per_file);
    options.keys_per_file = TWOFOLD_TEST_NUMBER(TWOFOLD_KEYS_PER_FILE, options.keys_per_file);
    return recovery::recover(directory, options);
}

void answer_alive(const Request& /*request*/, ResponseSink sink) {
    sink.send(http::text_response(200, "alive\n"));
}

}  // namespace

// Members are destroyed from the last to the first: the thread that recovers before everything, the
// server before the driver, the driver before the log, the log before the directory and its lock.
struct CoordinatorService::Impl {
    async::EventLoop& loop;
    CoordinatorConfig config;
    Events events;
    CoordinatorMetrics metrics;
    std::unique_ptr<wal::PosixDirectory> directory;
    std::unique_ptr<wal::Lock> lock;
    std::unique_ptr<LogAdapter> log;
    std::unique_ptr<ParticipantRegistry> registry;
    std::unique_ptr<coordinator::Driver> driver;
    http::Router probes;  // all that there is until `driver` is there
    http::Router router;
    std::unique_ptr<http::Server> server;
    std::unique_ptr<async::WorkerThread> recovery;
    bool stopping = false;
    std::function<void()> on_recovery_over;  // of a stop() that came before

    Impl(async::EventLoop& event_loop, const CoordinatorConfig& c, Events e)
        : loop(event_loop), config(c), events(std::move(e)) {}

    base::Result<void> open();
    base::Result<void> listen();
    void begin_recovery();
    void recovered(base::Result<recovery::Recovered> result, std::chrono::nanoseconds took);
    void count(const recovery::Recovered& recovered, std::chrono::nanoseconds took);
    void make_log(std::unique_ptr<wal::Writer> writer);
    void make_driver(coordinator::RecoveredState state,
                     std::uint64_t start_position,
                     std::vector<coordinator::ParticipantEntry> participants);
    void make_routes();
    void dispatch(Request request, ResponseSink sink);
    void close_log(std::function<void()> done);
    [[nodiscard]] std::string not_ready_reason() const;
};

// Everything that a second coordinator or a wrong directory makes fail, before anybody can connect.
base::Result<void> CoordinatorService::Impl::open() {
    TWOFOLD_TRY(directory,
                wal::PosixDirectory::open(config.data_dir, {.create = true, .read_only = false}));
    TWOFOLD_TRY(lock, directory->lock());
    TWOFOLD_CRASH_POINT(coord_start_after_lock);
    return base::ok();
}

void CoordinatorService::Impl::begin_recovery() {
    struct Outcome {
        base::Result<recovery::Recovered> result;
        std::chrono::nanoseconds took;
    };
    recovery = std::make_unique<async::WorkerThread>(loop, "recovery");
    recovery->post(
        [this] {
            auto started = std::chrono::steady_clock::now();
            auto result = read_log(*directory, config);
            return Outcome{std::move(result), std::chrono::steady_clock::now() - started};
        },
        [this](Outcome outcome) { recovered(std::move(outcome.result), outcome.took); });
}

void CoordinatorService::Impl::recovered(base::Result<recovery::Recovered> result,
                                         std::chrono::nanoseconds took) {
    recovery = nullptr;  // it has nothing more to do, so this does not wait
    if (!result.has_value()) return events.on_hopeless(result.error());
    count(result.value(), took);
    make_log(std::move(result.value().writer));
    if (on_recovery_over) return on_recovery_over();
    registry = std::make_unique<ParticipantRegistry>(loop, config, *directory);
    auto participants = registry->load();
    if (!participants.has_value()) return events.on_hopeless(participants.error());
    make_driver(std::move(result.value().state),
                result.value().summary.last_lsn,
                std::move(participants.value()));
    make_routes();
    driver->start();
    events.on_ready();
}

void CoordinatorService::Impl::count(const recovery::Recovered& recovered,
                                     std::chrono::nanoseconds took) {
    metrics.recovery_took(took);
    metrics.recovered("commit", recovered.state.unfinished_commits.size());
    metrics.recovered("abort", recovered.state.undecided.size());
    base::log_event(base::LogLevel::info,
                    "recovered",
                    "the log was read",
                    {{"incarnation", recovered.state.incarnation.text()},
                     {"epoch", recovered.state.epoch},
                     {"unfinished_commits",
                      static_cast<std::uint64_t>(recovered.state.unfinished_commits.size())},
                     {"undecided", static_cast<std::uint64_t>(recovered.state.undecided.size())},
                     {"clean_shutdown", recovered.summary.clean_shutdown ? "true" : "false"},
                     {"torn_tail", recovered.summary.torn_tail_discarded ? "true" : "false"}});
}

void CoordinatorService::Impl::make_log(std::unique_ptr<wal::Writer> writer) {
    LogAdapterOptions options;
    options.checkpoint_bytes = config.checkpoint_bytes;
    log = std::make_unique<LogAdapter>(
        loop, std::move(writer), options, [this](std::chrono::nanoseconds forced) {
            metrics.log_forced(forced);
        });
}

void CoordinatorService::Impl::make_driver(
    coordinator::RecoveredState state,
    std::uint64_t start_position,
    std::vector<coordinator::ParticipantEntry> participants) {
    coordinator::Config machine;
    machine.start_nonce = base::random_number();
    machine.start_position = start_position;
    machine.transactions_max = config.transactions_max;
    machine.work_size_max = config.work_size_max;
    machine.results_size_max = config.results_size_max;
    machine.key_lifetime = config.key_retention;
    machine.keys_max = config.keys_max;
    machine.keys_per_file = TWOFOLD_TEST_NUMBER(TWOFOLD_KEYS_PER_FILE, machine.keys_per_file);
    machine.outcome_words_per_file =
        TWOFOLD_TEST_NUMBER(TWOFOLD_OUTCOME_WORDS_PER_FILE, machine.outcome_words_per_file);
    machine.outcome_retention = config.outcome_retention;
    machine.outcomes_max = config.outcomes_max;
    // Planted, so that the crash matrix can be seen to fail; false in every release.
    machine.sabotage.forget_unfinished_on_recovery =
        TWOFOLD_TEST_NUMBER(TWOFOLD_SABOTAGE_FORGET_UNFINISHED, 0) != 0;
    machine.deadline_default = config.deadline_default;
    machine.deadline_max = config.deadline_max;
    machine.retry_min = config.retry_min;
    machine.retry_max = config.retry_max;
    machine.undelivered_alarm = config.undelivered_alarm;
    coordinator::DriverOptions options;
    options.jitter_seed = base::random_number();
    options.info_interval = config.info_interval;
    options.info_retry_interval = std::min(options.info_retry_interval, config.info_interval);
    driver = std::make_unique<coordinator::Driver>(loop,
                                                   coordinator::Machine(machine, std::move(state)),
                                                   *log,
                                                   metrics,
                                                   std::move(participants),
                                                   options);
}

std::string CoordinatorService::Impl::not_ready_reason() const {
    if (stopping) return "shutting down";
    if (driver->machine().stopped()) return driver->machine().not_ready().message;
    if (!log->has_room_for_new_work()) return "the disk of the log is full";
    return driver->machine().not_ready().message;
}

void CoordinatorService::Impl::make_routes() {
    coordinator::ApiOptions api;
    api.key_lifetime = config.key_retention;
    api.keys_max = config.keys_max;
    api.deadline_default = config.deadline_default;
    api.deadline_max = config.deadline_max;
    api.metrics_text = [this] { return metrics.text(*driver, log->figures(), server->stats()); };
    api.not_ready_reason = [this] { return not_ready_reason(); };
    coordinator::add_routes(router, *driver, api);
    coordinator::add_operator_routes(router, *driver);
    coordinator::add_directory_routes(router, *driver, *registry);
    add_openapi_route(router, contract::coordinator_document());
}

void CoordinatorService::Impl::dispatch(Request request, ResponseSink sink) {
    if (driver != nullptr) return router.dispatch(std::move(request), std::move(sink));
    for (const http::RouteInfo& probe : probes.routes()) {
        if (request.path == probe.pattern) {
            return probes.dispatch(std::move(request), std::move(sink));
        }
    }
    http::ProblemExtras extras;
    extras.retry_after_seconds = kRecoveringRetrySeconds;
    extras.instance = request.path;
    sink.send(http::problem(
        coordinator::problems::kRecovering, "the log is being read; ask again soon", extras));
}

base::Result<void> CoordinatorService::Impl::listen() {
    probes.add(Method::get, "/livez", http::Role::open, &answer_alive);
    probes.add(Method::get, "/healthz", http::Role::open, &answer_alive);
    add_openapi_route(probes, contract::coordinator_document());
    http::ServerOptions options;
    options.host = config.listen.host;
    options.port = config.listen.port;
    options.allow_insecure_public_bind = config.insecure_public_bind;
    // Calls to participants, the log, and connections above the limit.
    options.connections_max = connections_within_limits(
        config.connections_max, kOtherDescriptors + kPerParticipant * config.participants.size());
    options.is_urgent = [this](const Request& request) {
        return is_urgent(router, request) || is_urgent(probes, request);
    };
    options.body_size_max = config.body_size_max;
    options.bodies_size_max = config.bodies_size_max;
    TWOFOLD_TRY(server,
                http::Server::create(loop, options, [this](Request request, ResponseSink sink) {
                    dispatch(std::move(request), std::move(sink));
                }));
    return base::ok();
}

// Participants still answer, and timers still fire, until the process ends: nobody may append then.
void CoordinatorService::Impl::close_log(std::function<void()> done) {
    if (driver != nullptr) driver->cut_off();
    if (log == nullptr) return done();  // recovery failed: the process is ending already
    TWOFOLD_CRASH_POINT(coord_stop_before_close);
    log->close([done = std::move(done)] {
        TWOFOLD_CRASH_POINT(coord_stop_after_close);
        done();
    });
}

CoordinatorService::CoordinatorService(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CoordinatorService::~CoordinatorService() = default;

base::Result<std::unique_ptr<CoordinatorService>> CoordinatorService::create(
    async::EventLoop& loop, const CoordinatorConfig& config, Events events) {
    auto impl = std::make_unique<Impl>(loop, config, std::move(events));
    TWOFOLD_TRY(impl->open());
    TWOFOLD_TRY(impl->listen());
    impl->begin_recovery();
    return std::unique_ptr<CoordinatorService>(new CoordinatorService(std::move(impl)));
}

std::uint16_t CoordinatorService::port() const { return impl_->server->port(); }

std::string CoordinatorService::url() const {
    return "http://" + impl_->config.listen.host + ":" + std::to_string(port());
}

void CoordinatorService::stop(std::function<void()> done) {
    Impl& self = *impl_;
    self.stopping = true;
    // One limit for all of it: what the driver has used of it, the server cannot have.
    auto end = std::chrono::steady_clock::now() + self.config.drain_limit;
    auto drain_server = [&self, end, done = std::move(done)]() mutable {
        TWOFOLD_CRASH_POINT(coord_stop_after_drain);
        auto left = std::chrono::ceil<std::chrono::milliseconds>(
            std::max(end - std::chrono::steady_clock::now(), std::chrono::nanoseconds::zero()));
        self.server->drain(
            left, [&self, done = std::move(done)]() mutable { self.close_log(std::move(done)); });
    };
    if (self.recovery != nullptr) {
        self.on_recovery_over = std::move(drain_server);
        return;
    }
    if (self.driver == nullptr) return drain_server();
    self.driver->drain(self.config.drain_limit, std::move(drain_server));
}

}  // namespace twofold::app
