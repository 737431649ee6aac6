// Members that several request bodies have, read strictly. Pure.
#pragma once

#include "base/result.h"
#include "coordinator/core/inputs.h"
#include "protocol/json_reader.h"
#include "protocol/request.h"

#include <cstddef>
#include <map>
#include <string>

namespace twofold::coordinator {

using protocol::read_branch_options;

// "wait": "applied" or "decided".
[[nodiscard]] WaitFor read_wait(protocol::ObjectReader& in);

// A duration of at least 1 ms; `fallback` when it is absent.
[[nodiscard]] Milliseconds read_milliseconds(protocol::ObjectReader& in,
                                             std::string_view name,
                                             Milliseconds fallback,
                                             Milliseconds longest);

// "labels": an object of strings. invalid_argument: it is something else, or too much.
[[nodiscard]] base::Result<std::map<std::string, std::string>> read_labels(
    protocol::ObjectReader& in, std::size_t labels_max);

}  // namespace twofold::coordinator
