#include "sim/world.h"

#include "base/assert.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

namespace twofold::sim {

namespace {

// One round of splitmix64's finaliser: cheap, and every bit of the input reaches every bit.
std::uint64_t mix(std::uint64_t x) {
    x ^= x >> 30U;
    x *= 0xbf58476d1ce4e5b9ULL;
    x ^= x >> 27U;
    x *= 0x94d049bb133111ebULL;
    return x ^ (x >> 31U);
}

}  // namespace

World::World(std::uint64_t seed, bool tracing)
    : rng_(seed), hash_(mix(seed + 1)), tracing_(tracing), processes_{State::running} {
    queue_.reserve(256);
}

void World::push(Event event) {
    queue_.push_back(std::move(event));
    std::ranges::push_heap(queue_, Later{});
}

void World::after(Time delay, ProcessId owner, Action action) {
    push({now_ + delay, ++sequence_, owner, std::move(action)});
}

ProcessId World::spawn() {
    processes_.push_back(State::running);
    return ProcessId(static_cast<std::uint32_t>(processes_.size() - 1));
}

void World::kill(ProcessId process) {
    TWOFOLD_ASSERT(process != kWorld, "the world does not die");
    processes_[process.value] = State::dead;
    held_.erase(process);
}

void World::pause(ProcessId process) {
    if (alive(process)) processes_[process.value] = State::paused;
}

bool World::resume(ProcessId process) {
    if (!paused(process)) return false;
    processes_[process.value] = State::running;
    auto held = held_.extract(process);
    if (held.empty()) return false;
    for (Action& action : held.mapped()) after(0, process, std::move(action));
    return true;
}

bool World::alive(ProcessId process) const { return processes_[process.value] != State::dead; }

bool World::paused(ProcessId process) const { return processes_[process.value] == State::paused; }

void World::run_event(Event event) {
    switch (processes_[event.owner.value]) {
        case State::dead: return;
        case State::paused: held_[event.owner].push_back(std::move(event.action)); return;
        case State::running: break;
    }
    ++events_;
    mark(now_, event.sequence);
    event.action();
}

bool World::step() {
    if (queue_.empty() || violation_.has_value()) return false;
    std::ranges::pop_heap(queue_, Later{});
    Event event = std::move(queue_.back());
    queue_.pop_back();
    now_ = event.at;
    run_event(std::move(event));
    return true;
}

void World::run_until(Time until) {
    while (!queue_.empty() && queue_.front().at <= until) {
        if (!step()) return;
    }
    now_ = std::max(now_, until);
}

void World::mark(std::uint64_t a, std::uint64_t b, std::uint64_t c) {
    hash_ = mix(hash_ ^ a) + 0x9e3779b97f4a7c15ULL;
    hash_ = mix(hash_ ^ b);
    hash_ = mix(hash_ + c);
}

void World::say(std::string_view who, std::string_view what) {
    if (!listener_) return;
    std::array<char, 32> clock{};
    std::snprintf(clock.data(),
                  clock.size(),
                  "%6llu.%03llu ",
                  static_cast<unsigned long long>(now_ / 1000),
                  static_cast<unsigned long long>(now_ % 1000));
    std::string line(clock.data());
    line += who;
    line.resize(std::max<std::size_t>(line.size() + 1, 26), ' ');
    line += what;
    listener_(line);
}

void World::tell(Situation situation) {
    say("*", std::string(kSituations[index_of(situation)].name));
}

void World::violate(std::string_view checker, std::string text) {
    if (violation_.has_value()) return;
    if (tracing_) say("CHECKER", std::string(checker) + ": " + text);
    violation_ = Violation{std::string(checker), std::move(text), now_};
}

}  // namespace twofold::sim
