#include "app/coordinator_service.h"

#include "app/coordinator_metrics.h"
#include "app/log_adapter.h"
#include "app/participant_client.h"
#include "base/log.h"
#include "base/rng.h"
#include "coordinator/api.h"
#include "coordinator/driver.h"
#include "http/router.h"
#include "http/server.h"
#include "recovery/recover.h"
#include "wal/posix_file.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace twofold::app {

// Members are destroyed from the last to the first: the server before the driver, the driver before
// the log, the log before the directory and its lock.
struct CoordinatorService::Impl {
    CoordinatorConfig config;
    CoordinatorMetrics metrics;
    std::unique_ptr<wal::PosixDirectory> directory;
    std::unique_ptr<wal::Lock> lock;
    std::unique_ptr<LogAdapter> log;
    std::unique_ptr<coordinator::Driver> driver;
    http::Router router;
    std::unique_ptr<http::Server> server;
    bool stopping = false;

    explicit Impl(const CoordinatorConfig& c) : config(c) {}

    base::Result<recovery::Recovered> recover();
    void make_driver(async::EventLoop& loop, coordinator::RecoveredState state);
    void make_routes();
    base::Result<void> listen(async::EventLoop& loop);
    [[nodiscard]] std::string not_ready_reason() const;
};

base::Result<recovery::Recovered> CoordinatorService::Impl::recover() {
    auto started = std::chrono::steady_clock::now();
    TWOFOLD_TRY(directory,
                wal::PosixDirectory::open(config.data_dir, {.create = true, .read_only = false}));
    TWOFOLD_TRY(lock, directory->lock());
    recovery::RecoverOptions options;
    options.incarnation_if_new.bytes = base::random_bytes<10>();
    options.key = base::random_bytes<32>();
    options.writer.segment_size_bytes = config.segment_size_bytes;
    TWOFOLD_TRY(recovery::Recovered recovered, recovery::recover(*directory, options));
    auto took = std::chrono::steady_clock::now() - started;
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
    return recovered;
}

void CoordinatorService::Impl::make_driver(async::EventLoop& loop,
                                           coordinator::RecoveredState state) {
    coordinator::Config machine;
    machine.transactions_max = config.transactions_max;
    machine.deadline_default = config.deadline_default;
    machine.deadline_max = config.deadline_max;
    machine.retry_min = config.retry_min;
    machine.retry_max = config.retry_max;
    std::vector<coordinator::ParticipantEntry> participants;
    for (const NamedAddress& named : config.participants) {
        ParticipantClientOptions options;
        options.host = named.address.host;
        options.port = named.address.port;
        participants.push_back({named.name, std::make_unique<ParticipantClient>(loop, options)});
    }
    coordinator::DriverOptions options;
    options.start_nonce = base::random_number();
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
    if (!log->has_room_for_new_work()) return "the disk of the log is full";
    return {};
}

void CoordinatorService::Impl::make_routes() {
    coordinator::ApiOptions api;
    api.deadline_default = config.deadline_default;
    api.deadline_max = config.deadline_max;
    api.metrics_text = [this] { return metrics.text(driver->machine(), log->figures()); };
    api.not_ready_reason = [this] { return not_ready_reason(); };
    coordinator::add_routes(router, *driver, api);
}

base::Result<void> CoordinatorService::Impl::listen(async::EventLoop& loop) {
    http::ServerOptions options;
    options.host = config.listen.host;
    options.port = config.listen.port;
    options.allow_insecure_public_bind = config.insecure_public_bind;
    options.body_size_max = config.body_size_max;
    TWOFOLD_TRY(
        server,
        http::Server::create(loop, options, [this](http::Request request, http::ResponseSink sink) {
            router.dispatch(std::move(request), std::move(sink));
        }));
    return base::ok();
}

CoordinatorService::CoordinatorService(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CoordinatorService::~CoordinatorService() = default;

base::Result<std::unique_ptr<CoordinatorService>> CoordinatorService::create(
    async::EventLoop& loop, const CoordinatorConfig& config) {
    auto impl = std::make_unique<Impl>(config);
    TWOFOLD_TRY(recovery::Recovered recovered, impl->recover());
    LogAdapterOptions log;
    log.checkpoint_bytes = config.checkpoint_bytes;
    impl->log = std::make_unique<LogAdapter>(
        loop,
        std::move(recovered.writer),
        log,
        [&metrics = impl->metrics](std::chrono::nanoseconds took) { metrics.log_forced(took); });
    impl->make_driver(loop, std::move(recovered.state));
    impl->make_routes();
    TWOFOLD_TRY(impl->listen(loop));
    impl->driver->start();
    return std::unique_ptr<CoordinatorService>(new CoordinatorService(std::move(impl)));
}

std::uint16_t CoordinatorService::port() const { return impl_->server->port(); }

std::string CoordinatorService::url() const {
    return "http://" + impl_->config.listen.host + ":" + std::to_string(port());
}

void CoordinatorService::stop(std::function<void()> done) {
    impl_->stopping = true;
    impl_->driver->drain(impl_->config.drain_limit, [this, done = std::move(done)]() mutable {
        impl_->server->drain(impl_->config.drain_limit, [this, done = std::move(done)]() mutable {
            impl_->log->close(std::move(done));
        });
    });
}

}  // namespace twofold::app
