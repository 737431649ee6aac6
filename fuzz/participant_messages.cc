// Text to the messages between coordinator and participant: batches, the lines of their answers,
// offers, inquiries, descriptions. What was read is written, read and written again as the same.
#include "base/assert.h"
#include "fuzz/cursor.h"
#include "fuzz/targets.h"
#include "protocol/json.h"

#include <string>

namespace twofold::fuzz {

namespace {

constexpr protocol::JsonLimits kLimits{.depth = 16, .items = 16};
// The other side of what we write may be stricter than we are.
constexpr std::size_t kReasonMax = 2'000;

template <class Message>
struct Codec {
    base::Result<Message> (*parse)(std::string_view, const protocol::JsonLimits&);
    void (*append)(std::string&, const Message&);
};

template <class Message>
bool check(std::string_view text, const Codec<Message>& codec) {
    base::Result<Message> read = codec.parse(text, kLimits);
    if (!read.has_value()) {
        TWOFOLD_ASSERT(!read.error().context.empty(), "a refusal without a reason");
        return false;
    }
    std::string written;
    codec.append(written, read.value());
    base::Result<Message> again = codec.parse(written, kLimits);
    TWOFOLD_ASSERT(again.has_value(), "what was read cannot be written");
    std::string rewritten;
    codec.append(rewritten, again.value());
    TWOFOLD_ASSERT(rewritten == written, "it reads as another message");
    return true;
}

void check_item(std::string_view text) {
    auto result = protocol::parse_item_result(text, kLimits);
    if (!result.has_value()) return;
    TWOFOLD_ASSERT(result.value().reason.message.size() <= kReasonMax, "a reason without end");
    TWOFOLD_ASSERT(result.value().key.branch != 0 && result.value().key.attempt != 0, "no key");
    TWOFOLD_ASSERT(!result.value().identity.empty(), "no identity");
}

}  // namespace

void participant_messages(base::ByteSpan input) {
    std::string_view text = as_text(input);
    check_item(text);
    int accepted = 0;
    accepted += check<protocol::BatchRequest>(
        text, {protocol::parse_batch_request, protocol::append_batch_request});
    accepted += check<protocol::ItemResult>(
        text, {protocol::parse_item_result, protocol::append_item_result});
    accepted += check<protocol::OfferReply>(
        text, {protocol::parse_offer_reply, protocol::append_offer_reply});
    accepted += check<protocol::InquiryRequest>(
        text, {protocol::parse_inquiry_request, protocol::append_inquiry_request});
    accepted += check<protocol::InquiryReply>(
        text, {protocol::parse_inquiry_reply, protocol::append_inquiry_reply});
    accepted += check<protocol::ParticipantInfo>(
        text, {protocol::parse_participant_info, protocol::append_participant_info});
    TWOFOLD_ASSERT(accepted <= 1, "one text is two messages");
}

}  // namespace twofold::fuzz
