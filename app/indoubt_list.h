// Which transactions are in doubt: decided, or being settled, and not ended everywhere; and those
// that ended oddly and wait for a person.
#pragma once

#include "app/client.h"
#include "base/result.h"

#include <boost/json/array.hpp>

#include <string>
#include <variant>

namespace twofold::app {

// The oldest first; what an older coordinator tells without an age comes last, in its order.
void sort_by_age(boost::json::array& reports);

// The reports, sorted by age, or the answer that was a refusal. An empty `participant`: with a
// branch anywhere.
using InDoubt = std::variant<boost::json::array, Answer>;
[[nodiscard]] base::Result<InDoubt> read_in_doubt(const Client& client,
                                                  const std::string& participant);

}  // namespace twofold::app
