// What the client commands share: calls of the interface, what becomes of failures, and questions
// to the person at the terminal. Data goes to stdout, everything else to stderr.
#pragma once

#include "base/result.h"
#include "http/message.h"

#include <boost/json/value.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace twofold::app {

// How data is printed.
enum class Output : std::uint8_t { table, json };

struct Answer {
    int status = 0;
    http::Headers headers;
    std::string text;
    boost::json::value json;  // null when the text is none
};

using Fields = std::vector<std::pair<std::string, std::string>>;

// One coordinator, or one participant. Calls block.
class Client {
public:
    explicit Client(std::string address) : address_(std::move(address)) {}

    // Errors: invalid_argument: the address is none. unavailable: nothing was sent. Any other: the
    // peer may have acted.
    [[nodiscard]] base::Result<Answer> get(
        const std::string& target,
        std::chrono::milliseconds limit = std::chrono::seconds(30)) const;
    // `body` is JSON.
    [[nodiscard]] base::Result<Answer> post(
        const std::string& target,
        std::string body,
        const Fields& fields = {},
        std::chrono::milliseconds limit = std::chrono::seconds(60)) const;
    [[nodiscard]] base::Result<Answer> put(const std::string& target, std::string body) const;
    [[nodiscard]] base::Result<Answer> remove(const std::string& target,
                                              const Fields& fields) const;

    [[nodiscard]] const std::string& address() const { return address_; }

private:
    std::string address_;
};

// For a segment of a path, or a value of a query.
[[nodiscard]] std::string percent_encode(std::string_view text);
// "/v1/transactions/ID" with ID encoded.
[[nodiscard]] std::string transaction_path(std::string_view id);

// Whether the request, if it was carried out, has changed something.
enum class Effect : std::uint8_t { reads, changes };

// There was no answer: says so and returns the exit code.
[[nodiscard]] int report_failure(const base::Error& error, Effect effect);
// The exit code of an answer: one per kind, so that scripts need not read bodies.
[[nodiscard]] int exit_code(const Answer& answer, Effect effect);
// An answer that is no success: its problem on stderr, its data (json) on stdout. Returns the code.
[[nodiscard]] int report_refusal(const Client& client,
                                 const Answer& answer,
                                 Effect effect,
                                 Output output);

// "twofold: …" on stderr.
void say(const std::string& message);
// On stdout, with a line end.
void print(const std::string& text);

enum class Consent : std::uint8_t { given, refused, nobody_to_ask };
// Asks at the terminal, unless `yes` was said beforehand; complains when nobody can be asked.
[[nodiscard]] Consent ask_consent(const std::string& question, bool yes);
// The exit code when there was no consent.
[[nodiscard]] int without_consent(Consent consent);

}  // namespace twofold::app
