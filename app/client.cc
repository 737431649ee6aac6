#include "app/client.h"

#include "app/answer_view.h"
#include "app/commands.h"
#include "app/rest_call.h"
#include "app/text_table.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>

namespace twofold::app {

namespace {

base::Result<Answer> ask(const std::string& address,
                         http::Request request,
                         std::chrono::milliseconds limit) {
    TWOFOLD_TRY(http::ClientReply reply, call(address, std::move(request), limit));
    Answer answer;
    answer.status = reply.status;
    answer.headers = std::move(reply.headers);
    answer.text = std::move(reply.body);
    answer.json = parse_answer(answer.text);
    return answer;
}

http::Request with_body(http::Method method, const std::string& target, std::string body) {
    http::Request request;
    request.method = method;
    request.target = target;
    request.headers.add("Content-Type", "application/json");
    request.body = std::move(body);
    return request;
}

bool is_success(int status) { return status >= 200 && status < 300; }

}  // namespace

base::Result<Answer> Client::get(const std::string& target, std::chrono::milliseconds limit) const {
    http::Request request;
    request.target = target;
    return ask(address_, std::move(request), limit);
}

base::Result<Answer> Client::post(const std::string& target,
                                  std::string body,
                                  const Fields& fields,
                                  std::chrono::milliseconds limit) const {
    http::Request request = with_body(http::Method::post, target, std::move(body));
    for (const auto& [name, value] : fields) request.headers.add(name, value);
    return ask(address_, std::move(request), limit);
}

base::Result<Answer> Client::put(const std::string& target, std::string body) const {
    return ask(
        address_, with_body(http::Method::put, target, std::move(body)), std::chrono::seconds(60));
}

base::Result<Answer> Client::remove(const std::string& target, const Fields& fields) const {
    http::Request request;
    request.method = http::Method::delete_;
    request.target = target;
    for (const auto& [name, value] : fields) request.headers.add(name, value);
    return ask(address_, std::move(request), std::chrono::seconds(60));
}

std::string percent_encode(std::string_view text) {
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

std::string transaction_path(std::string_view id) {
    return "/v1/transactions/" + percent_encode(id);
}

int report_failure(const base::Error& error, Effect effect) {
    say(error.context);
    if (error.code == base::Errc::invalid_argument) return kExitUsage;
    if (error.code == base::Errc::unavailable || effect == Effect::reads) return kExitError;
    say("whether the request was carried out is not known");
    return kExitUnknown;
}

int exit_code(const Answer& answer, Effect effect) {
    // Only what names a code of ours is an answer: a proxy's page says nothing.
    bool ours = answer.json.is_object() &&
                (is_success(answer.status) || !text_of(answer.json, "code").empty());
    if (!ours) {
        bool may_have_acted = is_success(answer.status) || answer.status >= 500;
        return effect == Effect::changes && may_have_acted ? kExitUnknown : kExitError;
    }
    if (answer.status == 202) {
        return text_of(answer.json, "decision") == "commit" ? kExitOk : kExitUnknown;
    }
    if (is_success(answer.status)) return kExitOk;
    if (answer.status == 404 || answer.status == 410) return kExitNotFound;
    if (text_of(answer.json, "outcome") == "aborted") return kExitAborted;
    if (text_of(answer.json, "code") == "cannot_tell") return kExitUnknown;
    return kExitError;
}

int report_refusal(const Client& client, const Answer& answer, Effect effect, Output output) {
    int code = exit_code(answer, effect);
    std::string title = text_of(answer.json, "title");
    if (title.empty()) {
        say(client.address() + ": status " + std::to_string(answer.status) +
            " and no answer of Twofold; is this the right address?");
        if (code == kExitUnknown) say("whether the request was carried out is not known");
        return code;
    }
    std::string detail = text_of(answer.json, "detail");
    say(title + (detail.empty() ? "" : ": " + detail));
    if (output == Output::json) {
        print(answer.text);
    } else {
        std::string data = ended_text(answer.json);
        if (!data.empty() && !text_of(answer.json, "outcome").empty()) print(data);
    }
    return code;
}

void say(const std::string& message) {
    std::fprintf(stderr, "twofold: %s\n", printable(message).c_str());
}

void print(const std::string& text) {
    std::fputs(text.c_str(), stdout);
    if (!text.ends_with('\n')) std::fputc('\n', stdout);
    std::fflush(stdout);
}

Consent ask_consent(const std::string& question, bool yes) {
    if (yes) return Consent::given;
    if (::isatty(STDIN_FILENO) != 1) return Consent::nobody_to_ask;
    std::fprintf(stderr, "%s Type yes to go on: ", printable(question).c_str());
    std::string line;
    std::getline(std::cin, line);
    return line == "yes" ? Consent::given : Consent::refused;
}

int without_consent(Consent consent) {
    if (consent == Consent::nobody_to_ask) {
        say("there is no terminal to ask at: give --yes if you mean it");
        return kExitUsage;
    }
    say("nothing was changed");
    return kExitError;
}

}  // namespace twofold::app
