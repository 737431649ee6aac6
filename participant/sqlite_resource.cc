#include "participant/sqlite_resource.h"

#include "base/assert.h"
#include "base/log.h"
#include "participant/sqlite/work.h"

#include <cstdlib>
#include <utility>

namespace twofold::participant {

SqliteResource::SqliteResource(async::EventLoop& loop, sqlite::StoreOptions options)
    : options_(std::move(options)), worker_(loop, "sqlite") {}

SqliteResource::~SqliteResource() = default;

// Runs on the store's thread, before an answer leaves it: after an I/O error of a commit the
// process sees the old data although a restart may show the commit. Only a new process can read the
// truth.
void SqliteResource::leave_if_store_must_exit() const {
    if (!store_->must_exit()) return;
    base::log_event(base::LogLevel::error,
                    "sqlite_must_exit",
                    "the state of the SQLite file is unknown to this process: ending it, a restart "
                    "reads what is really there",
                    {{"path", options_.path}});
    std::_Exit(EXIT_FAILURE);
}

template <class Call, class Done>
void SqliteResource::run(Call call, Done done) {
    TWOFOLD_ASSERT(store_ != nullptr, "the resource is used before it was started");
    worker_.post(
        [this, call = std::move(call), marks = std::exchange(new_marks_, {})]() mutable {
            for (const auto& [incarnation, mark] : marks) {
                store_->note_marks(incarnation, mark.low_water, mark.horizon);
            }
            auto result = call(*store_);
            leave_if_store_must_exit();
            return std::make_pair(std::move(result),
                                  Snapshot{store_->position(), store_->counters()});
        },
        [this, done = std::move(done)](auto answer) mutable {
            position_ = answer.second.position;
            counters_ = answer.second.counters;
            done(std::move(answer.first));
        });
}

void SqliteResource::start(StartCallback done) {
    worker_.post(
        [this]() -> base::Result<protocol::ResourceStart> {
            if (!store_) {
                TWOFOLD_TRY(store_, sqlite::Store::open(options_));
            }
            auto started = store_->start();
            leave_if_store_must_exit();
            return started;
        },
        [this, done = std::move(done)](base::Result<protocol::ResourceStart> started) {
            if (started.has_value()) {
                open_ = true;
                position_ = started.value().position;
                done(std::move(started));
                return;
            }
            // The reason alone does not say which file.
            base::Error error = started.error();
            if (error.context.find(options_.path) == std::string::npos) {
                error.context = options_.path + ": " + error.context;
            }
            done(std::move(error));
        });
}

void SqliteResource::execute_prepare(protocol::BranchWork work, WorkCallback done) {
    run([work = std::move(work)](sqlite::Store& store) { return store.execute_prepare(work); },
        std::move(done));
}

void SqliteResource::one_phase(protocol::BranchWork work, WorkCallback done) {
    run([work = std::move(work)](sqlite::Store& store) { return store.one_phase(work); },
        std::move(done));
}

std::optional<protocol::Reason> SqliteResource::check_work(const protocol::JsonText& work) const {
    sqlite::ParsedWork parsed = sqlite::parse_work(work, options_);
    if (parsed.refusal.empty()) return std::nullopt;
    return std::move(parsed.refusal);
}

void SqliteResource::execute(protocol::BranchWork work, std::uint32_t sequence, WorkCallback done) {
    run([work = std::move(work),
         sequence](sqlite::Store& store) { return store.execute(work, sequence); },
        std::move(done));
}

void SqliteResource::prepare_executed(const protocol::BranchKey& key, WorkCallback done) {
    run([key](sqlite::Store& store) { return store.prepare_executed(key); }, std::move(done));
}

void SqliteResource::cancel(const protocol::BranchKey& key, DoneCallback done) {
    store_->interrupt(key);
    // Answers come in the order of the calls: when this call is answered, the work was.
    run(
        [key](sqlite::Store& store) {
            store.end_session(key);
            return base::Result<void>(base::ok());
        },
        std::move(done));
}

void SqliteResource::commit(protocol::FinishRequest request, FinishCallback done) {
    run([request = std::move(request)](sqlite::Store& store) { return store.commit(request); },
        std::move(done));
}

void SqliteResource::rollback(protocol::FinishRequest request, FinishCallback done) {
    run([request = std::move(request)](sqlite::Store& store) { return store.rollback(request); },
        std::move(done));
}

void SqliteResource::settle_one_phase(const protocol::BranchKey& key,
                                      const std::optional<protocol::IdempotencyKey>& idempotency,
                                      FinishCallback done) {
    run([key,
         idempotency](sqlite::Store& store) { return store.settle_one_phase(key, idempotency); },
        std::move(done));
}

void SqliteResource::list(ListCallback done) {
    run([](sqlite::Store& store) { return store.list(); }, std::move(done));
}

void SqliteResource::persist_sender(const protocol::SenderStamp& sender, DoneCallback done) {
    run([sender](sqlite::Store& store) { return store.persist_sender(sender); }, std::move(done));
}

void SqliteResource::note_marks(const protocol::Incarnation& incarnation,
                                protocol::IdPosition low_water,
                                protocol::IdPosition horizon) {
    new_marks_[incarnation] = {low_water, horizon};
}

void SqliteResource::stop(std::function<void()> done) {
    if (open_) store_->interrupt();
    worker_.post([this] { store_.reset(); }, std::move(done));
}

}  // namespace twofold::participant
