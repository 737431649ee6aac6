// docs/participants.md is what strangers implement: every example in it must be what our own codecs
// read, every operation, status and answer must have one, and every rule that the check names must
// be there.
#include "protocol/json.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace twofold::app {
namespace {

using protocol::BranchKey;
using protocol::ItemOp;
using protocol::ItemResult;

// Tests run in the repository's root folder.
std::string read(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    EXPECT_TRUE(file.good()) << path;
    return text.str();
}

struct Example {
    std::string kind;
    std::string text;
    int line = 0;
};

// The fenced blocks that begin with ```json KIND.
std::vector<Example> examples() {
    std::istringstream page(read("docs/participants.md"));
    std::vector<Example> found;
    std::string line;
    bool inside = false;
    for (int number = 1; std::getline(page, line); ++number) {
        if (line.starts_with("```")) {
            inside = !inside;
            if (!inside) continue;
            EXPECT_TRUE(line.starts_with("```json ")) << "line " << number << ": " << line;
            found.push_back({line.size() > 8 ? line.substr(8) : "", "", number});
        } else if (inside) {
            found.back().text += line + "\n";
        }
    }
    EXPECT_FALSE(inside) << "a fence is not closed";
    return found;
}

template <class Message>
std::vector<Message> parsed(const std::string& kind,
                            base::Result<Message> (*parse)(std::string_view,
                                                           const protocol::JsonLimits&)) {
    std::vector<Message> out;
    for (const Example& example : examples()) {
        if (example.kind != kind) continue;
        auto message = parse(example.text, {});
        EXPECT_TRUE(message.has_value())
            << "line " << example.line << ": "
            << (message.has_value() ? "" : message.error().context) << "\n"
            << example.text;
        if (message.has_value()) out.push_back(std::move(message.value()));
    }
    EXPECT_FALSE(out.empty()) << "no example of " << kind;
    return out;
}

std::vector<protocol::BatchRequest> requests() {
    return parsed<protocol::BatchRequest>("batch-request", &protocol::parse_batch_request);
}
std::vector<ItemResult> results() {
    return parsed<ItemResult>("item-result", &protocol::parse_item_result);
}
std::vector<protocol::ParticipantInfo> infos() {
    return parsed<protocol::ParticipantInfo>("participant-info", &protocol::parse_participant_info);
}

TEST(ParticipantsPage, EveryExampleHasAKindThatIsParsed) {
    std::map<std::string, int> count;
    for (const Example& example : examples()) ++count[example.kind];
    std::set<std::string> kinds;
    for (const auto& [kind, times] : count) kinds.insert(kind);
    EXPECT_EQ(kinds,
              (std::set<std::string>{"batch-request",
                                     "inquiry-reply",
                                     "inquiry-request",
                                     "item-result",
                                     "offer-reply",
                                     "participant-info",
                                     "problem"}));
    EXPECT_GE(count["item-result"], 30);
}

TEST(ParticipantsPage, AnOfferIsAcceptedOrRefused) {
    std::set<bool> answers;
    for (const auto& reply :
         parsed<protocol::OfferReply>("offer-reply", &protocol::parse_offer_reply)) {
        EXPECT_EQ(reply.accepted, reply.reason.empty());
        answers.insert(reply.accepted);
    }
    EXPECT_EQ(answers.size(), 2U);
}

TEST(ParticipantsPage, EveryOperationAndStatusHasAnExample) {
    std::set<std::string> asked;
    std::set<std::pair<BranchKey, ItemOp>> items;
    for (const auto& request : requests()) {
        for (const auto& item : request.items) {
            asked.emplace(to_string(item.op));
            items.emplace(item.key, item.op);
        }
    }
    std::set<std::string> answered;
    std::set<std::string> statuses;
    for (const ItemResult& result : results()) {
        answered.emplace(to_string(result.op));
        statuses.emplace(to_string(result.status));
        EXPECT_TRUE(items.contains({result.key, result.op}))
            << "an answer to nothing: " << to_string(result.op) << " " << result.key.text();
    }
    EXPECT_EQ(asked.size(), 6U);
    EXPECT_EQ(answered, asked);
    EXPECT_EQ(statuses.size(), 11U) << "of all statuses";
}

TEST(ParticipantsPage, AnswersEchoTheDescription) {
    auto described = infos();
    ASSERT_EQ(described.size(), 2U);
    EXPECT_EQ(described[0].uuid, described[1].uuid);
    EXPECT_FALSE(described[0].batch) << "the first has only what is mandatory";
    EXPECT_TRUE(described[1].batch && described[1].read_only && described[1].one_phase &&
                described[1].proof && described[1].epochs);
    for (const ItemResult& result : results()) {
        EXPECT_EQ(result.participant, described[1].uuid);
        EXPECT_EQ(result.identity, described[1].identity);
        bool needs_reason = result.status == protocol::ItemStatus::no ||
                            result.status == protocol::ItemStatus::refused ||
                            result.status == protocol::ItemStatus::unknown;
        EXPECT_EQ(result.reason.empty() && needs_reason, false) << to_string(result.status);
    }
    for (const auto& request : requests()) {
        EXPECT_EQ(request.participant, described[1].uuid);
        EXPECT_EQ(request.identity, described[1].identity);
    }
}

TEST(ParticipantsPage, InquiriesShowEveryAnswer) {
    auto asked =
        parsed<protocol::InquiryRequest>("inquiry-request", &protocol::parse_inquiry_request);
    EXPECT_EQ(asked.at(0).items.size(), 2U);
    std::set<std::string> answers;
    for (const auto& reply :
         parsed<protocol::InquiryReply>("inquiry-reply", &protocol::parse_inquiry_reply)) {
        for (const auto& item : reply.items) answers.emplace(to_string(item.answer));
    }
    EXPECT_EQ(answers.size(), 5U);
}

// What the section about order says of the bytes.
TEST(ParticipantsPage, IdsAreWhatAReaderDecodes) {
    for (const auto& request : requests()) {
        for (const auto& item : request.items) {
            EXPECT_EQ(item.key.group.incarnation(), request.sender.incarnation);
            EXPECT_GE(item.key.group.position(), request.low_water);
            bool is_one_phase = item.op == ItemOp::one_phase || item.op == ItemOp::settle_one_phase;
            EXPECT_EQ(item.key.group.participant().value != 0, is_one_phase);
        }
    }
}

TEST(ParticipantsPage, HasEveryRuleThatTheCheckNames) {
    std::string page = read("docs/participants.md");
    std::string code = read("app/check_participant_cases.cc") +
                       read("app/check_participant_probe.cc") + read("app/check_participant.cc") +
                       read("examples/try_confirm_cancel.py");
    std::regex rule("P-[0-9]+");
    std::set<std::string> named;
    for (std::sregex_iterator it(code.begin(), code.end(), rule), end; it != end; ++it) {
        named.insert(it->str());
    }
    EXPECT_GE(named.size(), 15U);
    for (const std::string& each : named) {
        EXPECT_NE(page.find("| " + each + " |"), std::string::npos) << each;
    }
}

}  // namespace
}  // namespace twofold::app
