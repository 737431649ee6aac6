#include "integration/process.h"

#include "integration/temp_dir.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <thread>
#include <utility>

extern "C" char** environ;

namespace twofold::integration {

namespace {

using base::Errc;
using base::fail;
using base::Result;

constexpr std::chrono::milliseconds kPollPause{5};

std::vector<std::string> merged_environment(const std::map<std::string, std::string>& added) {
    std::vector<std::string> merged;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        std::string_view text(*entry);
        if (!added.contains(std::string(text.substr(0, text.find('='))))) merged.emplace_back(text);
    }
    for (const auto& [name, value] : added) merged.push_back(name + "=" + value);
    return merged;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
    std::vector<char*> result;
    result.reserve(strings.size() + 1);
    for (std::string& text : strings) result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

// In the child, between fork and exec: only calls that are safe in a copy of a threaded process.
[[noreturn]] void become(char* const* arguments,
                         char* const* environment,
                         int output,
                         pid_t parent) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    for (int number : {SIGINT, SIGTERM, SIGPIPE, SIGCHLD}) ::signal(number, SIG_DFL);
    // A group of its own: Ctrl-C at the terminal reaches only us, and we end our children in order.
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(126);  // the parent died before the line above
    int null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    // Whatever else this process has open stays here: a listening socket that lives on in a child
    // would keep its port taken.
    close_range(STDERR_FILENO + 1, ~0U, 0);
    execvpe(arguments[0], arguments, environment);
    _exit(127);
}

ExitStatus decoded(int raw) {
    if (WIFSIGNALED(raw)) return {true, WTERMSIG(raw)};
    return {false, WEXITSTATUS(raw)};
}

std::string read_from(const std::string& path, std::size_t offset) {
    std::ifstream file(path, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

}  // namespace

std::string ExitStatus::text() const {
    return (signalled ? "killed by signal " : "exit code ") + std::to_string(number);
}

Result<Process> Process::start(const ProcessOptions& options) {
    std::string output_path = options.output_path.empty() ? "/dev/null" : options.output_path;
    int output = open(output_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (output < 0) {
        return fail(Errc::io_error, output_path + ": " + std::strerror(errno));
    }
    Process started;
    struct stat info {};
    if (fstat(output, &info) == 0) started.output_offset_ = static_cast<std::size_t>(info.st_size);
    started.output_path_ = std::move(output_path);

    std::vector<std::string> words{options.program};
    words.insert(words.end(), options.arguments.begin(), options.arguments.end());
    std::vector<std::string> environment = merged_environment(options.environment);
    std::vector<char*> word_pointers = pointers(words);
    std::vector<char*> environment_pointers = pointers(environment);
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0) become(word_pointers.data(), environment_pointers.data(), output, parent);
    int fork_error = errno;
    close(output);
    if (child < 0) return fail(Errc::io_error, std::string("fork: ") + std::strerror(fork_error));
    started.pid_ = child;
    return started;
}

Process::~Process() { kill(); }

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      status_(std::exchange(other.status_, std::nullopt)),
      output_path_(std::move(other.output_path_)),
      output_offset_(other.output_offset_) {}

Process& Process::operator=(Process&& other) noexcept {
    if (this != &other) {
        kill();
        pid_ = std::exchange(other.pid_, -1);
        status_ = std::exchange(other.status_, std::nullopt);
        output_path_ = std::move(other.output_path_);
        output_offset_ = other.output_offset_;
    }
    return *this;
}

void Process::collect(bool block) {
    if (pid_ < 0 || status_) return;
    int raw = 0;
    pid_t ended = 0;
    do {
        ended = waitpid(pid_, &raw, block ? 0 : WNOHANG);
    } while (ended < 0 && errno == EINTR);
    if (ended == pid_) status_ = decoded(raw);
}

bool Process::running() {
    collect(false);
    return pid_ > 0 && !status_;
}

void Process::signal(int number) {
    if (running()) ::kill(pid_, number);
}

void Process::kill() {
    if (!running()) return;
    ::kill(pid_, SIGKILL);
    collect(true);
}

std::optional<ExitStatus> Process::wait(std::chrono::milliseconds limit) {
    auto give_up = std::chrono::steady_clock::now() + limit;
    while (running()) {
        if (std::chrono::steady_clock::now() >= give_up) return std::nullopt;
        std::this_thread::sleep_for(kPollPause);
    }
    return status_;
}

std::string Process::output() const { return read_from(output_path_, output_offset_); }

std::string Process::output_tail(std::size_t lines) const {
    std::string text = output();
    std::size_t begin = text.size();
    for (std::size_t found = 0; begin > 0; --begin) {
        bool line_end = text[begin - 1] == '\n' && begin != text.size();
        if (line_end && ++found == lines) break;
    }
    return text.substr(begin);
}

bool Process::wait_for_output(const std::string& text, std::chrono::milliseconds limit) {
    auto give_up = std::chrono::steady_clock::now() + limit;
    while (true) {
        // Asked before reading, so that the last words of a program that just ended are seen.
        bool was_running = running();
        if (output().find(text) != std::string::npos) return true;
        if (!was_running || std::chrono::steady_clock::now() >= give_up) return false;
        std::this_thread::sleep_for(kPollPause);
    }
}

Result<Finished> run_program(const std::string& program,
                             std::vector<std::string> arguments,
                             std::map<std::string, std::string> environment,
                             std::chrono::milliseconds limit) {
    TWOFOLD_TRY(TempDir dir, TempDir::create("twofold-run"));
    ProcessOptions options{.program = program,
                           .arguments = std::move(arguments),
                           .environment = std::move(environment),
                           .output_path = dir.path() + "/output"};
    TWOFOLD_TRY(Process process, Process::start(options));
    std::optional<ExitStatus> status = process.wait(limit);
    if (!status) {
        return fail(Errc::timed_out,
                    program + " did not end in time; it printed: " + process.output_tail(20));
    }
    return Finished{*status, process.output()};
}

std::string sibling_program(const std::string& name) {
    return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / name).string();
}

}  // namespace twofold::integration
