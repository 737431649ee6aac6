// A person's decision about a prepared branch whose coordinator cannot decide any more: its log is
// lost. Inputs, effects and answers; the rules are in resolve.cc.
#pragma once

#include "base/strong_id.h"
#include "protocol/messages.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::participant {

// A place where the answer to one item goes: a line of a streamed response. Given by the shell.
using ReplyTicket = base::StrongId<struct ReplyTicketTag>;

struct ResolveReceived {
    ReplyTicket ticket;
    std::string gid;
    protocol::Decision outcome = protocol::Decision::abort;
    std::string version;  // of the branch, as the person saw it
    std::string reason;
    bool dry_run = false;
    // A coordinator that does not answer will never be there again, and the branch's own one that
    // cannot tell never will.
    bool coordinator_is_gone = false;
};

// What one configured coordinator said about the branch.
struct CoordinatorWord {
    std::string coordinator;                      // its address
    std::optional<protocol::InquiryReply> reply;  // nothing: no answer that counts
    std::string error;                            // then
};
// The answer to AskCoordinators: one word for each that is configured.
struct CoordinatorsAnswered {
    ReplyTicket ticket;
    std::vector<CoordinatorWord> words;
};

struct AskCoordinators {  // -> CoordinatorsAnswered
    ReplyTicket ticket;
    protocol::InquiryItem item;
};

enum class ResolveStatus : std::uint8_t {
    possible,                 // a dry run
    accepted,                 // it is being carried out; the ticket's SendReply tells the end
    done_before,              // the same has been done already
    not_ready,                // the database is not ready
    not_found,                // no such branch here
    wrong_state,              // it is not held, or cannot be finished by this role
    version_changed,          // it is not as the person saw it
    coordinator_knows,        // a coordinator decides, or has decided
    coordinator_unreachable,  // not every coordinator has said that it does not know
};
[[nodiscard]] std::string_view to_string(ResolveStatus status);

struct AnswerResolve {
    struct Evidence {
        std::string coordinator;
        std::string answer;  // "commit", …, "unreachable"
        bool own = false;    // the coordinator that made the branch
    };
    ReplyTicket ticket;
    ResolveStatus status = ResolveStatus::not_found;
    std::string text;  // for a person; empty when it went well
    protocol::BranchKey key;
    std::string state;
    std::string version;
    std::vector<Evidence> evidence;
};

}  // namespace twofold::participant
