// The simulated world: one clock, one queue of events, one source of randomness, processes that can
// die and stand still. Same seed, same run: events are ordered by (time, sequence), nothing here or
// above reads a real clock, an address or an unordered container.
#pragma once

#include "base/rng.h"
#include "base/strong_id.h"
#include "sim/situations.h"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::sim {

// Microseconds since the beginning of the run.
using Time = std::uint64_t;
[[nodiscard]] constexpr Time us(std::uint64_t n) { return n; }
[[nodiscard]] constexpr Time ms(std::uint64_t n) { return n * 1'000; }
[[nodiscard]] constexpr Time seconds(std::uint64_t n) { return n * 1'000'000; }

// A life of a process: a restart is a new process. 0 is the world itself, which never dies.
using ProcessId = base::StrongId<struct ProcessTag, std::uint32_t>;
inline constexpr ProcessId kWorld{0};

using Action = std::function<void()>;

// What a checker found. The first one ends the run.
struct Violation {
    std::string checker;
    std::string text;
    Time at = 0;
};

class World {
public:
    World(std::uint64_t seed, bool tracing);

    [[nodiscard]] Time now() const { return now_; }
    [[nodiscard]] base::SeededRng& rng() { return rng_; }
    // Uniform in [low, high].
    Time between(Time low, Time high) { return rng_.between(low, high); }
    bool chance(std::uint32_t per_mille) {
        return per_mille != 0 && rng_.chance_per_mille(per_mille);
    }

    // Runs `action` after `delay`, unless its owner is dead by then. An owner that stands still
    // catches up when it goes on.
    void after(Time delay, ProcessId owner, Action action);

    [[nodiscard]] ProcessId spawn();
    void kill(ProcessId process);
    void pause(ProcessId process);
    // True: something had come meanwhile.
    bool resume(ProcessId process);
    [[nodiscard]] bool alive(ProcessId process) const;
    [[nodiscard]] bool paused(ProcessId process) const;

    // Runs the next event. False: there is none, or a checker has found something.
    bool step();
    // Until nothing is left to do before `until`; the clock then shows `until`.
    void run_until(Time until);

    [[nodiscard]] std::uint64_t events() const { return events_; }

    // ---- what the run leaves behind ----
    // Mixes a fact into the hash of the run.
    void mark(std::uint64_t a, std::uint64_t b = 0, std::uint64_t c = 0);
    [[nodiscard]] std::uint64_t hash() const { return hash_; }
    // One line of the transcript; build the text only when tracing().
    [[nodiscard]] bool tracing() const { return tracing_; }
    void say(std::string_view who, std::string_view what);
    // Called with each line as it is said.
    void set_listener(std::function<void(const std::string&)> listener) {
        listener_ = std::move(listener);
    }

    // A situation has happened, here and now. Counted, and said in a trace; no part of the hash.
    void reached(Situation situation) {
        ++hits_[index_of(situation)];
        if (tells_situations_) tell(situation);
    }
    void reached_if(bool happened, Situation situation) {
        if (happened) reached(situation);
    }
    [[nodiscard]] const SituationHits& hits() const { return hits_; }
    void tell_situations(bool on) { tells_situations_ = on; }

    void violate(std::string_view checker, std::string text);
    [[nodiscard]] const std::optional<Violation>& violation() const { return violation_; }

private:
    struct Event {
        Time at = 0;
        std::uint64_t sequence = 0;
        ProcessId owner;
        Action action;
    };
    struct Later {
        bool operator()(const Event& a, const Event& b) const {
            return a.at != b.at ? a.at > b.at : a.sequence > b.sequence;
        }
    };
    enum class State : std::uint8_t { running, paused, dead };

    void push(Event event);
    void tell(Situation situation);
    void run_event(Event event);

    base::SeededRng rng_;
    Time now_ = 0;
    std::uint64_t sequence_ = 0;
    std::uint64_t events_ = 0;
    std::uint64_t hash_;
    bool tracing_;
    std::vector<Event> queue_;  // a heap
    std::vector<State> processes_;
    std::map<ProcessId, std::vector<Action>> held_;  // by those that stand still
    std::function<void(const std::string&)> listener_;
    std::optional<Violation> violation_;
    SituationHits hits_{};
    bool tells_situations_ = false;
};

}  // namespace twofold::sim
