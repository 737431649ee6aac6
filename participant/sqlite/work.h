// The JSON of a branch's work with values as SQLite stores them, and SQLite's values as JSON.
//
// true and false become 1 and 0; {"base64": "…"} is a blob; a timestamp is its text. Back: the
// same, and integers beyond 2^53 as text, because JavaScript and many others would change them.
#pragma once

#include "participant/sqlite/store.h"
#include "participant/sqlite/value.h"
#include "participant/work/work.h"

#include <boost/json/fwd.hpp>

namespace twofold::participant::sqlite {

using WorkStatement = work::BoundStatement<Value>;
using ParsedWork = work::BoundWork<Value>;

[[nodiscard]] ParsedWork parse_work(const protocol::JsonText& json, const StoreOptions& options);

[[nodiscard]] boost::json::value to_json(const Value& value);

}  // namespace twofold::participant::sqlite
