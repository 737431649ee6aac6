// `twofold txn …`: transactions of the coordinator's REST interface from a shell.
#include "app/answer_view.h"
#include "app/client.h"
#include "app/commands.h"
#include "base/json_writer.h"

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <thread>
#include <utility>

namespace twofold::app {

namespace {

namespace json = base::json;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::chrono::minutes kTransactionLimit{10};
constexpr milliseconds kWatchTurn{20'000};

void print_transaction(const Answer& answer, Output output) {
    print(output == Output::json ? answer.text : transaction_text(answer.json));
}

// The code of a transaction that was looked at: its outcome's.
int outcome_code(const boost::json::value& report) {
    std::string outcome = text_of(report, "outcome");
    if (outcome == "committed") return kExitOk;
    if (outcome == "aborted") return kExitAborted;
    return outcome.starts_with("heuristic") ? kExitError : kExitUnknown;
}

// What a request that ends a transaction was answered.
int report_end(const Client& client, const base::Result<Answer>& answer, Output output) {
    if (!answer.has_value()) return report_failure(answer.error(), Effect::changes);
    const Answer& value = answer.value();
    bool success = value.status == 200 || value.status == 202;
    if (!success || !value.json.is_object()) {
        return report_refusal(client, value, Effect::changes, output);
    }
    if (value.status == 202) {
        say(text_of(value.json, "decision") == "commit"
                ? "committed for good, but not yet applied by every participant"
                : "the outcome is not known yet; ask again with: twofold txn get " +
                      text_of(value.json, "id"));
    }
    print_transaction(value, output);
    return exit_code(value, Effect::changes);
}

base::Result<std::string> read_all(const std::string& file) {
    if (file == "-") {
        return std::string(std::istreambuf_iterator<char>(std::cin), {});
    }
    std::ifstream in(file, std::ios::binary);
    std::string text(std::istreambuf_iterator<char>(in), {});
    if (!in && !in.eof()) return base::fail(base::Errc::unavailable, file + ": cannot be read");
    return text;
}

std::pair<std::string, std::string> split(const std::string& text) {
    std::size_t equals = text.find('=');
    return {text.substr(0, equals), text.substr(equals + 1)};
}

std::string begin_body(const TxnBeginOptions& options) {
    std::string body = "{";
    if (options.deadline_ms != 0) json::number(body, "deadline_ms", options.deadline_ms);
    if (options.idle_deadline_ms != 0) {
        json::number(body, "idle_deadline_ms", options.idle_deadline_ms);
    }
    if (!options.labels.empty()) {
        std::string labels = "{";
        for (const std::string& label : options.labels) {
            auto [name, value] = split(label);
            json::foreign_text(labels, name, value);
        }
        json::raw(body, "labels", labels + "}");
    }
    return body + "}";
}

std::string commit_body(const TxnCommitOptions& options) {
    std::string body = "{";
    if (!options.wait.empty()) json::text(body, "wait", options.wait);
    if (!options.executes.empty()) {
        std::string executes = "{";
        for (const std::string& expected : options.executes) {
            auto [name, number] = split(expected);
            if (executes.back() != '{') executes += ',';
            base::append_json_string(executes, name);
            executes += ":" + number;
        }
        json::raw(body, "executes", executes + "}");
    }
    return body + "}";
}

Fields key_field(const std::string& key) {
    return key.empty() ? Fields{} : Fields{{"Idempotency-Key", key}};
}

}  // namespace

int begin_txn(const TxnBeginOptions& options) {
    Client client(options.client.address);
    auto answer =
        client.post("/v1/transactions", begin_body(options), key_field(options.idempotency_key));
    if (!answer.has_value()) return report_failure(answer.error(), Effect::changes);
    const Answer& value = answer.value();
    std::string id = text_of(value.json, "id");
    if ((value.status != 200 && value.status != 201) || id.empty()) {
        return report_refusal(client, value, Effect::changes, options.client.output);
    }
    if (options.client.output == Output::json) {
        print(value.text);
    } else {
        print(id);  // alone, for ID=$(twofold txn begin)
    }
    if (value.status == 201) {
        say("aborted by itself unless it is committed within " +
            text_of(value.json, "deadline_ms") + " ms");
        return kExitOk;
    }
    say("this key began it before; it is " + text_of(value.json, "state"));
    return outcome_code(value.json);
}

int run_txn(const TxnRunOptions& options) {
    auto body = read_all(options.file);
    if (!body.has_value()) return report_failure(body.error(), Effect::reads);
    Client client(options.client.address);
    auto answer = client.post("/v1/transactions",
                              std::move(body.value()),
                              key_field(options.idempotency_key),
                              kTransactionLimit);
    if (answer.has_value() && answer.value().status == 201) {
        say("the file has no \"branches\": a transaction was begun, not run; see twofold txn "
            "begin");
        print_transaction(answer.value(), options.client.output);
        return kExitError;
    }
    return report_end(client, answer, options.client.output);
}

int get_txn(const TxnGetOptions& options) {
    Client client(options.client.address);
    auto answer =
        client.get(transaction_path(options.id) + "?wait_ms=" + std::to_string(options.wait_ms),
                   milliseconds(options.wait_ms) + std::chrono::seconds(10));
    if (!answer.has_value()) return report_failure(answer.error(), Effect::reads);
    if (answer.value().status != 200 || !answer.value().json.is_object()) {
        return report_refusal(client, answer.value(), Effect::reads, options.client.output);
    }
    print_transaction(answer.value(), options.client.output);
    return outcome_code(answer.value().json);
}

int list_txns(const TxnListOptions& options) {
    std::string target = "/v1/transactions?limit=" + std::to_string(options.limit);
    auto add = [&target](const char* name, const std::string& value) {
        if (!value.empty()) target.append("&").append(name).append("=") += percent_encode(value);
    };
    add("state", options.state);
    add("participant", options.participant);
    for (const std::string& label : options.labels) add("label", label);
    add("cursor", options.cursor);
    Client client(options.client.address);
    auto answer = client.get(target);
    if (!answer.has_value()) return report_failure(answer.error(), Effect::reads);
    const Answer& value = answer.value();
    if (value.status != 200 || !value.json.is_object()) {
        return report_refusal(client, value, Effect::reads, options.client.output);
    }
    if (options.client.output == Output::json) {
        print(value.text);
        return kExitOk;
    }
    print(transactions_table(list_of(value.json, "transactions")));
    std::string next = text_of(value.json, "next_cursor");
    if (!next.empty()) say("there may be more: --cursor " + next);
    return kExitOk;
}

// ---- watch ----------------------------------------------------------------------------

namespace {

// Follows one transaction; restarts of the coordinator are waited for.
class Watch {
public:
    explicit Watch(const TxnWatchOptions& options)
        : options_(options), client_(options.client.address) {}

    int follow() {
        std::optional<int> code;
        while (!code) code = turn();
        return *code;
    }

private:
    // One question and its answer. The exit code, when that was the last.
    std::optional<int> turn() {
        auto asked = steady_clock::now();
        std::string target = transaction_path(options_.id);
        if (seen_) {
            target += "?since=" + std::to_string(*seen_) +
                      "&wait_ms=" + std::to_string(kWatchTurn.count());
        }
        auto answer = client_.get(target, kWatchTurn + std::chrono::seconds(10));
        bool away = !answer.has_value() || answer.value().status >= 500;
        if (away) {
            return lost(answer.has_value() ? text_of(answer.value().json, "detail")
                                           : answer.error().context,
                        answer);
        }
        if (answer.value().status != 200 || !answer.value().json.is_object()) {
            return report_refusal(client_, answer.value(), Effect::reads, options_.client.output);
        }
        if (lost_since_) say("it answers again");
        lost_since_.reset();
        return show(answer.value(), asked);
    }

    std::optional<int> show(const Answer& answer, steady_clock::time_point asked) {
        std::string line = change_line(answer.json);
        if (line != last_line_) {
            print(options_.client.output == Output::json ? answer.text : line);
        }
        last_line_ = std::move(line);
        if (has_ended(answer.json)) return outcome_code(answer.json);
        std::uint64_t version = number_of(answer.json, "version");
        // It should have waited: never ask in circles without a pause.
        bool at_once = steady_clock::now() - asked < milliseconds(100);
        if (seen_ == version && at_once) std::this_thread::sleep_for(milliseconds(200));
        seen_ = version;
        return std::nullopt;
    }

    std::optional<int> lost(const std::string& why, const base::Result<Answer>& answer) {
        if (last_line_.empty()) {
            if (!answer.has_value()) return report_failure(answer.error(), Effect::reads);
            return report_refusal(client_, answer.value(), Effect::reads, options_.client.output);
        }
        auto patience = std::chrono::seconds(options_.patience_seconds);
        auto now = steady_clock::now();
        if (!lost_since_) {
            lost_since_ = now;
            say(why + "; asking again for " + std::to_string(options_.patience_seconds) + " s");
        }
        if (now - *lost_since_ >= patience) {
            say("gave up; the outcome is not known");
            return kExitUnknown;
        }
        std::this_thread::sleep_for(milliseconds(500));
        seen_.reset();  // versions begin anew with the coordinator's start
        return std::nullopt;
    }

    const TxnWatchOptions& options_;
    Client client_;
    std::optional<std::uint64_t> seen_;
    std::string last_line_;
    std::optional<steady_clock::time_point> lost_since_;
};

}  // namespace

int watch_txn(const TxnWatchOptions& options) { return Watch(options).follow(); }

// ---- ending one -----------------------------------------------------------------------

int commit_txn(const TxnCommitOptions& options) {
    Client client(options.client.address);
    auto answer = client.post(transaction_path(options.id) + "/commit",
                              commit_body(options),
                              key_field(options.idempotency_key),
                              kTransactionLimit);
    return report_end(client, answer, options.client.output);
}

int abort_txn(const TxnAbortOptions& options) {
    Client client(options.client.address);
    auto answer = client.post(
        transaction_path(options.id) + "/abort", "{}", key_field(options.idempotency_key));
    return report_end(client, answer, options.client.output);
}

int explain_txn(const TxnIdOptions& options) {
    Client client(options.client.address);
    auto answer = client.get(transaction_path(options.id) + "/why");
    if (!answer.has_value()) return report_failure(answer.error(), Effect::reads);
    if (answer.value().status != 200 || !answer.value().json.is_object()) {
        return report_refusal(client, answer.value(), Effect::reads, options.client.output);
    }
    print(options.client.output == Output::json ? answer.value().text
                                                : why_text(answer.value().json));
    return kExitOk;
}

int forget_txn(const ReasonOptions& options) {
    Client client(options.client.address);
    auto why = client.get(transaction_path(options.name) + "/why");
    if (!why.has_value()) return report_failure(why.error(), Effect::reads);
    if (why.value().status != 200 || !why.value().json.is_object()) {
        return report_refusal(client, why.value(), Effect::reads, options.client.output);
    }
    std::fputs(why_text(why.value().json).c_str(), stderr);
    Consent consent = ask_consent("It leaves the list of those that need a person.", options.yes);
    if (consent != Consent::given) return without_consent(consent);
    std::string body = "{";
    json::text(body, "reason", options.reason);
    std::string version(why.value().headers.find("ETag").value_or(""));
    auto answer = client.post(
        transaction_path(options.name) + "/forget", body + "}", {{"If-Match", version}});
    if (!answer.has_value()) return report_failure(answer.error(), Effect::changes);
    if (answer.value().status != 200) {
        return report_refusal(client, answer.value(), Effect::changes, options.client.output);
    }
    print_transaction(answer.value(), options.client.output);
    return kExitOk;
}

}  // namespace twofold::app
