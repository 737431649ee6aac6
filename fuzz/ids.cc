// Texts of ids: whatever is taken for an id has exactly this text, and no other.
#include "protocol/ids.h"

#include "base/assert.h"
#include "fuzz/cursor.h"
#include "fuzz/targets.h"
#include "protocol/request.h"
#include "protocol/types.h"

namespace twofold::fuzz {

namespace {

template <class Id>
void check_text(std::string_view text) {
    auto id = Id::parse(text);
    TWOFOLD_ASSERT(!id || id->text() == text, "two texts of one id");
}

void check_gid(std::string_view text) {
    auto gid = protocol::parse_gid(text);
    if (!gid) return;
    TWOFOLD_ASSERT(protocol::make_gid(gid->key, gid->participant) == text, "two gids of a branch");
    TWOFOLD_ASSERT(protocol::TxnId::parse(gid->key.group.text()) == gid->key.group,
                   "a gid names a group that has no id");
    TWOFOLD_ASSERT(gid->key.branch != 0 && gid->key.attempt != 0, "a gid of no branch");
}

void check_base64(base::ByteSpan bytes, std::string_view text) {
    for (auto alphabet : {base::Base64Alphabet::standard, base::Base64Alphabet::url}) {
        base::Bytes whole(bytes.begin(), bytes.end());
        TWOFOLD_ASSERT(base::base64_decode(base::base64_encode(bytes, alphabet), alphabet) == whole,
                       "bytes do not come back");
        auto decoded = base::base64_decode(text, alphabet);
        TWOFOLD_ASSERT(!decoded || base::base64_encode(*decoded, alphabet) == text,
                       "two texts of the same bytes");
    }
    auto decoded = base::hex_decode(text);
    TWOFOLD_ASSERT(!decoded || base::hex_encode(*decoded) == text, "two texts of the same bytes");
}

}  // namespace

void ids(base::ByteSpan input) {
    std::string_view text = as_text(input);
    check_text<protocol::TxnId>(text);
    check_text<protocol::Incarnation>(text);
    check_text<protocol::ParticipantUuid>(text);
    check_text<protocol::Identity>(text);
    check_gid(text);
    check_base64(input, text);
    auto key = protocol::parse_idempotency_key(text, "body");
    if (key.has_value() && !text.starts_with('"')) {
        auto quoted = protocol::parse_idempotency_key('"' + std::string(text) + '"', "body");
        TWOFOLD_ASSERT(quoted.has_value() && quoted.value() == key.value(),
                       "a key in quotes is another key");
    }
}

}  // namespace twofold::fuzz
