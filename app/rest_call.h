// One blocking HTTP call for command-line tools.
#pragma once

#include "app/config_reader.h"
#include "base/result.h"
#include "http/client.h"

#include <chrono>
#include <string>

namespace twofold::app {

// Calls and waits. Errors say whether the request may have been acted upon: Errc::unavailable means
// that nothing was sent, any other that the outcome is unknown.
[[nodiscard]] base::Result<http::ClientReply> call(const std::string& address,
                                                   http::Request request,
                                                   std::chrono::milliseconds limit);

// The text of a member of a JSON object; empty when there is none.
[[nodiscard]] std::string json_text(const std::string& body, const std::string& member);

}  // namespace twofold::app
