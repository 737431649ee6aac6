// `twofold txn run|get|list` and `twofold healthcheck`: the coordinator's REST interface from a
// shell. Answers go to stdout as the coordinator gave them, messages to stderr.
#include "app/commands.h"
#include "app/rest_call.h"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <utility>

namespace twofold::app {

namespace {

constexpr std::chrono::minutes kTransactionLimit{10};

int report_failure(const base::Error& error) {
    std::fprintf(stderr, "twofold: %s\n", error.context.c_str());
    if (error.code == base::Errc::unavailable || error.code == base::Errc::invalid_argument) {
        return kExitError;
    }
    std::fputs("twofold: whether the request was carried out is not known\n", stderr);
    return kExitUnknown;
}

// One exit code per kind of answer, so that scripts need not read the body.
int exit_code(const http::ClientReply& reply) {
    switch (reply.status) {
        case 200: return kExitOk;
        case 202: return kExitUnknown;
        case 404:
        case 410: return kExitNotFound;
        default: break;
    }
    if (json_text(reply.body, "outcome") == "aborted") return kExitAborted;
    if (reply.status == 503 && json_text(reply.body, "code") == "cannot_tell") return kExitUnknown;
    return kExitError;
}

void print_answer(const http::ClientReply& reply) {
    std::fputs(reply.body.c_str(), stdout);
    if (!reply.body.ends_with('\n')) std::fputc('\n', stdout);
    std::string detail = json_text(reply.body, "detail");
    if (reply.status >= 400 && !detail.empty()) {
        std::fprintf(
            stderr, "twofold: %s: %s\n", json_text(reply.body, "title").c_str(), detail.c_str());
    }
}

base::Result<std::string> read_all(const std::string& file) {
    if (file == "-") {
        return std::string(std::istreambuf_iterator<char>(std::cin), {});
    }
    std::ifstream in(file, std::ios::binary);
    if (!in) return base::fail(base::Errc::invalid_argument, file + ": cannot be read");
    return std::string(std::istreambuf_iterator<char>(in), {});
}

std::string percent_encode(const std::string& text) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    std::string out;
    for (char c : text) {
        auto byte = static_cast<unsigned char>(c);
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_' || c == '.';
        if (plain) {
            out.push_back(c);
        } else {
            out += {'%', kDigits[byte >> 4U], kDigits[byte & 15U]};
        }
    }
    return out;
}

std::string text_of(const boost::json::object& object, std::string_view name) {
    const boost::json::value* value = object.if_contains(name);
    return value != nullptr && value->is_string() ? std::string(value->get_string())
                                                  : std::string();
}

void print_table(const std::string& body) {
    boost::system::error_code error;
    boost::json::value value = boost::json::parse(body, error);
    if (error || !value.is_object()) return;
    const boost::json::value* list = value.get_object().if_contains("transactions");
    if (list == nullptr || !list->is_array()) return;
    std::printf("%-48s  %-14s  %-16s  %s\n", "ID", "STATE", "OUTCOME", "PARTICIPANTS");
    for (const boost::json::value& element : list->get_array()) {
        const boost::json::object& txn = element.get_object();
        std::string participants;
        if (const boost::json::value* branches = txn.if_contains("branches")) {
            for (const boost::json::value& branch : branches->get_array()) {
                if (!participants.empty()) participants += ',';
                participants += text_of(branch.get_object(), "participant");
            }
        }
        std::printf("%-48s  %-14s  %-16s  %s\n",
                    text_of(txn, "id").c_str(),
                    text_of(txn, "state").c_str(),
                    text_of(txn, "outcome").c_str(),
                    participants.c_str());
    }
}

}  // namespace

int run_txn(const TxnRunOptions& options) {
    auto body = read_all(options.file);
    if (!body.has_value()) return report_failure(body.error());
    http::Request request;
    request.method = http::Method::post;
    request.target = "/v1/transactions";
    request.headers.add("Content-Type", "application/json");
    if (!options.idempotency_key.empty()) {
        request.headers.add("Idempotency-Key", options.idempotency_key);
    }
    request.body = std::move(body.value());
    auto reply = call(options.address, std::move(request), kTransactionLimit);
    if (!reply.has_value()) return report_failure(reply.error());
    print_answer(reply.value());
    return exit_code(reply.value());
}

int get_txn(const TxnGetOptions& options) {
    http::Request request;
    request.target = "/v1/transactions/" + percent_encode(options.id) +
                     "?wait_ms=" + std::to_string(options.wait_ms);
    auto reply = call(options.address,
                      std::move(request),
                      std::chrono::milliseconds(options.wait_ms) + std::chrono::seconds(10));
    if (!reply.has_value()) return report_failure(reply.error());
    print_answer(reply.value());
    if (reply.value().status != 200) return exit_code(reply.value());
    std::string outcome = json_text(reply.value().body, "outcome");
    if (outcome == "committed") return kExitOk;
    if (outcome == "aborted") return kExitAborted;
    return outcome == "unknown" ? kExitUnknown : kExitError;
}

int list_txns(const TxnListOptions& options) {
    http::Request request;
    request.target = "/v1/transactions?limit=" + std::to_string(options.limit);
    if (!options.state.empty()) request.target += "&state=" + percent_encode(options.state);
    if (!options.participant.empty()) {
        request.target += "&participant=" + percent_encode(options.participant);
    }
    auto reply = call(options.address, std::move(request), std::chrono::seconds(30));
    if (!reply.has_value()) return report_failure(reply.error());
    if (options.json || reply.value().status != 200) {
        print_answer(reply.value());
    } else {
        print_table(reply.value().body);
    }
    return exit_code(reply.value());
}

int check_health(const std::string& address) {
    http::Request request;
    request.target = "/readyz";
    auto reply = call(address, std::move(request), std::chrono::seconds(5));
    if (!reply.has_value()) {
        std::fprintf(stderr, "twofold: %s\n", reply.error().context.c_str());
        return kExitError;
    }
    if (reply.value().status == 200) {
        std::puts("ready");
        return kExitOk;
    }
    print_answer(reply.value());
    return kExitError;
}

}  // namespace twofold::app
