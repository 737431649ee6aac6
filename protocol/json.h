// JSON forms of the messages between coordinator and participant. Strict: an unknown member, a
// wrong type or a missing field is an error that names it ("items[2].attempt: must be …"). Work and
// results travel as raw JSON inside; they are not looked into here beyond being well-formed.
#pragma once

#include "base/result.h"
#include "protocol/messages.h"

#include <string>
#include <string_view>

namespace twofold::protocol {

class ObjectReader;

struct JsonLimits {
    std::size_t depth = 32;
    std::size_t items = 4096;
};

// {"code", "message"} and, where they are known, "statement" and "sqlstate".
void append_reason(std::string& out, const Reason& reason);

// Which start speaks: an object, and the member "sender" that holds one.
void append_sender(std::string& out, const SenderStamp& sender);
[[nodiscard]] SenderStamp read_sender(ObjectReader& in);

// POST /v1/branches:batch. One object; appends to `out`.
void append_batch_request(std::string& out, const BatchRequest& request);
[[nodiscard]] base::Result<BatchRequest> parse_batch_request(std::string_view text,
                                                             const JsonLimits& limits = {});

// One line of the streamed answer, newline included.
void append_item_result(std::string& out, const ItemResult& result);
[[nodiscard]] base::Result<ItemResult> parse_item_result(std::string_view line,
                                                         const JsonLimits& limits = {});

// The only line of the answer to a batch without items, newline included.
void append_offer_reply(std::string& out, const OfferReply& reply);
[[nodiscard]] base::Result<OfferReply> parse_offer_reply(std::string_view line,
                                                         const JsonLimits& limits = {});

void append_inquiry_request(std::string& out, const InquiryRequest& request);
[[nodiscard]] base::Result<InquiryRequest> parse_inquiry_request(std::string_view text,
                                                                 const JsonLimits& limits = {});
void append_inquiry_reply(std::string& out, const InquiryReply& reply);
[[nodiscard]] base::Result<InquiryReply> parse_inquiry_reply(std::string_view text,
                                                             const JsonLimits& limits = {});

void append_participant_info(std::string& out, const ParticipantInfo& info);
[[nodiscard]] base::Result<ParticipantInfo> parse_participant_info(std::string_view text,
                                                                   const JsonLimits& limits = {});

}  // namespace twofold::protocol
