// A program that a test or the demo started: its end can be awaited, it can be killed, and it dies
// with us. Nothing is ever signalled by name; a pid is used only until its end was collected, so
// that it cannot be somebody else's by then.
//
// Thread: use a Process from one thread. The kernel ends the program when the *thread* that started
// it ends, so start programs from a thread that outlives them (the main thread).
#pragma once

#include "base/result.h"

#include <sys/types.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace twofold::integration {

struct ProcessOptions {
    std::string program;  // a path; looked up in PATH when it has no slash
    std::vector<std::string> arguments;
    std::map<std::string, std::string> environment;  // on top of ours
    std::string output_path;                         // stdout and stderr are appended to this file
};

// How a program ended.
struct ExitStatus {
    bool signalled = false;
    int number = 0;  // the exit code, or the signal's number

    [[nodiscard]] bool exited_with(int code) const { return !signalled && number == code; }
    [[nodiscard]] bool killed_by(int signal) const { return signalled && number == signal; }
    [[nodiscard]] std::string text() const;  // "exit code 2", "killed by signal 9"
};

class Process {
public:
    Process() = default;  // nothing was started
    [[nodiscard]] static base::Result<Process> start(const ProcessOptions& options);
    ~Process();  // kills it if it still runs
    Process(Process&& other) noexcept;
    Process& operator=(Process&& other) noexcept;
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    [[nodiscard]] bool running();
    [[nodiscard]] pid_t pid() const { return pid_; }
    // Sends a signal unless the program has ended.
    void signal(int number);
    // SIGKILL, and waits until it is gone.
    void kill();
    // Nothing when it still runs after `limit`.
    [[nodiscard]] std::optional<ExitStatus> wait(std::chrono::milliseconds limit);
    [[nodiscard]] const std::optional<ExitStatus>& exit_status() const { return status_; }

    [[nodiscard]] const std::string& output_path() const { return output_path_; }
    // What this start of the program has printed so far.
    [[nodiscard]] std::string output() const;
    [[nodiscard]] std::string output_tail(std::size_t lines) const;
    // True when a line of the output contains `text` before `limit` and before the program ends.
    [[nodiscard]] bool wait_for_output(const std::string& text, std::chrono::milliseconds limit);

private:
    void collect(bool block);

    pid_t pid_ = -1;
    std::optional<ExitStatus> status_;
    std::string output_path_;
    std::size_t output_offset_ = 0;
};

// Runs a program to its end; what it printed is in `output`.
struct Finished {
    ExitStatus status;
    std::string output;
};
[[nodiscard]] base::Result<Finished> run_program(
    const std::string& program,
    std::vector<std::string> arguments,
    std::map<std::string, std::string> environment = {},
    std::chrono::milliseconds limit = std::chrono::seconds(30));

// The path of another program of ours: it lies beside the running one.
[[nodiscard]] std::string sibling_program(const std::string& name);

}  // namespace twofold::integration
