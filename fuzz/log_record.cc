// Bytes of one log record: what can be decoded can be encoded, to something that decodes to the
// same and needs no more room; and it can be described.
#include "base/assert.h"
#include "fuzz/targets.h"
#include "protocol/records.h"

#include <boost/json/parse.hpp>

namespace twofold::fuzz {

void log_record(base::ByteSpan input) {
    auto record = protocol::decode_record(input);
    if (!record.has_value()) {
        bool known = record.error().code == base::Errc::corrupt ||
                     record.error().code == base::Errc::unsupported_version;
        TWOFOLD_ASSERT(known && !record.error().context.empty(), "a refusal of another kind");
        return;
    }
    base::Bytes encoded = protocol::encode_record(record.value());
    TWOFOLD_ASSERT(encoded.size() <= input.size(), "it has grown");
    auto again = protocol::decode_record(encoded);
    TWOFOLD_ASSERT(again.has_value(), "what was decoded cannot be encoded");
    TWOFOLD_ASSERT(again.value() == record.value(), "it decodes to something else");
    TWOFOLD_ASSERT(protocol::encode_record(again.value()) == encoded, "two encodings of a record");
    TWOFOLD_ASSERT(!protocol::describe_record(record.value()).empty(), "no description");
    boost::system::error_code error;
    boost::json::value json =
        boost::json::parse(protocol::describe_record_json(record.value()), error);
    TWOFOLD_ASSERT(!error && json.is_object(), "the description is no JSON");
}

}  // namespace twofold::fuzz
