#include "app/answer_view.h"

#include "app/text_table.h"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace twofold::app {

namespace json = boost::json;

// ---- reading --------------------------------------------------------------------------

json::value parse_answer(const std::string& text) {
    boost::system::error_code error;
    json::value value = json::parse(text, error);
    return error ? json::value() : value;
}

const json::value& member_of(const json::value& value, std::string_view name) {
    static const json::value nothing;
    const json::object* object = value.if_object();
    const json::value* found = object != nullptr ? object->if_contains(name) : nullptr;
    return found != nullptr ? *found : nothing;
}

std::string text_of(const json::value& value, std::string_view name) {
    const json::value& found = member_of(value, name);
    if (found.is_null()) return {};
    return found.is_string() ? std::string(found.get_string()) : json::serialize(found);
}

std::uint64_t number_of(const json::value& value, std::string_view name) {
    const json::value& found = member_of(value, name);
    boost::system::error_code error;
    auto number = found.is_number() ? found.to_number<std::uint64_t>(error) : 0;
    return error ? 0 : number;
}

bool flag_of(const json::value& value, std::string_view name) {
    const bool* flag = member_of(value, name).if_bool();
    return flag != nullptr && *flag;
}

const json::array& list_of(const json::value& value, std::string_view name) {
    static const json::array nothing;
    const json::array* list = member_of(value, name).if_array();
    return list != nullptr ? *list : nothing;
}

namespace {

// "lock_timeout: participant …".
std::string reason_text(const json::value& reason) {
    std::string code = text_of(reason, "code");
    std::string message = text_of(reason, "message");
    if (code.empty() || message.empty()) return code + message;
    return code + ": " + message;
}

std::string labels_text(const json::value& report) {
    std::string out;
    const json::object* labels = member_of(report, "labels").if_object();
    if (labels == nullptr) return out;
    for (const auto& label : *labels) {
        if (!out.empty()) out += ' ';
        out.append(label.key()).append("=");
        out.append(text_of(member_of(report, "labels"), label.key()));
    }
    return out;
}

// Why it is where it is, as far as it is known.
std::string branch_note(const json::value& branch) {
    std::string note = reason_text(member_of(branch, "reason"));
    std::string evidence = text_of(branch, "evidence");
    if (!evidence.empty()) note += (note.empty() ? "" : "; ") + evidence;
    return note;
}

std::string participants_text(const json::value& report) {
    std::string out;
    for (const json::value& branch : list_of(report, "branches")) {
        if (!out.empty()) out += ',';
        out += text_of(branch, "participant");
    }
    return out;
}

std::string age_text(const json::value& report) {
    std::string age = text_of(report, "age_ms");
    return age.empty() ? age : std::to_string(number_of(report, "age_ms") / 1000) + "s";
}

// "active 0ms, preparing 3ms"
std::string timeline_text(const json::value& report) {
    std::string out;
    for (const json::value& moment : list_of(report, "timeline")) {
        if (!out.empty()) out += ", ";
        out += text_of(moment, "state") + " " + text_of(moment, "at_ms") + "ms";
    }
    return out;
}

std::string branches_table(const json::value& report) {
    std::vector<Row> rows;
    for (const json::value& branch : list_of(report, "branches")) {
        rows.push_back({text_of(branch, "branch"),
                        text_of(branch, "participant"),
                        text_of(branch, "state"),
                        text_of(branch, "outcome"),
                        text_of(branch, "tries"),
                        branch_note(branch)});
    }
    if (rows.empty()) return {};
    return "\n" + text_table({"BRANCH", "PARTICIPANT", "STATE", "OUTCOME", "TRIES", "NOTE"}, rows);
}

std::string results_text(const json::value& report) {
    std::string out;
    for (const json::value& branch : list_of(report, "branches")) {
        std::string results = text_of(branch, "results");
        if (results.empty()) continue;
        out += "\nresults of branch " + printable(text_of(branch, "branch")) + " at " +
               printable(text_of(branch, "participant")) + "\n  " + printable(results) + "\n";
    }
    return out;
}

}  // namespace

// ---- one transaction ------------------------------------------------------------------

bool has_ended(const json::value& report) {
    constexpr std::array<std::string_view, 9> kUnfinished{"fresh",
                                                          "waiting",
                                                          "active",
                                                          "preparing",
                                                          "proposing",
                                                          "one_phase",
                                                          "settling",
                                                          "committing",
                                                          "aborting"};
    return std::ranges::find(kUnfinished, text_of(report, "state")) == kUnfinished.end();
}

bool is_open_branch(const json::value& branch) {
    constexpr std::array<std::string_view, 4> kDone{"committed", "aborted", "no", "read_only"};
    return std::ranges::find(kDone, text_of(branch, "state")) == kDone.end();
}

std::string transaction_text(const json::value& report) {
    std::string refused_by = text_of(report, "refused_by_branch");
    return text_fields({{"id", text_of(report, "id")},
                        {"state", text_of(report, "state")},
                        {"outcome", text_of(report, "outcome")},
                        {"decision", text_of(report, "decision")},
                        {"version", text_of(report, "version")},
                        {"deadline_ms", text_of(report, "deadline_ms")},
                        {"age", age_text(report)},
                        {"timeline", timeline_text(report)},
                        {"labels", labels_text(report)},
                        {"reason", reason_text(member_of(report, "reason"))},
                        {"refused by", refused_by.empty() ? "" : "branch " + refused_by},
                        {"results", text_of(report, "results")}}) +
           branches_table(report) + results_text(report);
}

std::string ended_text(const json::value& problem) {
    const json::value& report = member_of(problem, "transaction");
    if (report.is_object()) return transaction_text(report);
    if (text_of(problem, "transaction_id").empty()) return {};
    std::string branch = text_of(problem, "branch");
    return text_fields(
        {{"id", text_of(problem, "transaction_id")},
         {"outcome", text_of(problem, "outcome")},
         {"reason", reason_text(member_of(problem, "reason"))},
         {"refused by",
          branch.empty() ? "" : "branch " + branch + " at " + text_of(problem, "participant")}});
}

std::string change_line(const json::value& report) {
    std::string out = "v" + text_of(report, "version") + "  " + text_of(report, "state") + "  " +
                      text_of(report, "outcome");
    std::string separator = "  ";
    for (const json::value& branch : list_of(report, "branches")) {
        out += separator + text_of(branch, "participant") + "=" + text_of(branch, "state");
        separator = " ";
    }
    std::string reason = reason_text(member_of(report, "reason"));
    if (!reason.empty()) out += "  (" + reason + ")";
    return printable(out);
}

namespace {

std::string proof_text(const json::value& branch) {
    const json::value& proof = member_of(branch, "proof");
    if (!proof.is_object()) return "none came with its vote";
    return "transaction " + text_of(proof, "xid") + " of timeline " + text_of(proof, "timeline") +
           " at position " + text_of(proof, "position") +
           (flag_of(proof, "witness") ? ", and a witness row" : "");
}

std::string indented(const std::string& text) {
    std::string out;
    bool at_start = true;
    for (char c : text) {
        if (at_start && c != '\n') out += "  ";
        out += c;
        at_start = c == '\n';
    }
    return out;
}

const json::value& reported_branch(const json::value& why, const json::value& branch) {
    static const json::value nothing;
    for (const json::value& candidate : list_of(member_of(why, "transaction"), "branches")) {
        if (text_of(candidate, "branch") == text_of(branch, "branch") &&
            text_of(candidate, "attempt") == text_of(branch, "attempt")) {
            return candidate;
        }
    }
    return nothing;
}

std::string explained_branch_text(const json::value& why, const json::value& branch) {
    const json::value& report = reported_branch(why, branch);
    std::string head = "branch " + text_of(branch, "branch") + " at " +
                       text_of(branch, "participant") + ": " + text_of(branch, "state");
    if (number_of(branch, "attempt") > 1) head += " (attempt " + text_of(branch, "attempt") + ")";
    if (flag_of(branch, "replaced")) head += " (given up, another attempt took its place)";
    return printable(head) + "\n" +
           indented(text_fields({{"outcome", text_of(report, "outcome")},
                                 {"note", branch_note(report)},
                                 {"tries", text_of(report, "tries")},
                                 {"gid", text_of(branch, "gid")},
                                 {"database", text_of(branch, "identity")},
                                 {"proof", proof_text(branch)},
                                 {"next", text_of(branch, "next")},
                                 {"safe", text_of(branch, "safe")}}));
}

// "decision group=… decision=commit", and the records within it on lines of their own.
std::string record_text(const json::value& record, const std::string& indent) {
    std::string line = text_of(record, "type");
    std::string within;
    const json::object* object = record.if_object();
    if (object == nullptr) return {};
    for (const auto& member : *object) {
        if (member.key() == "type") continue;
        const json::array& list = list_of(record, member.key());
        for (const json::value& one : list) within += record_text(one, indent + "  ");
        if (!list.empty()) continue;
        line.append(" ").append(member.key()).append("=").append(text_of(record, member.key()));
    }
    return indent + printable(line) + "\n" + within;
}

}  // namespace

std::string why_text(const json::value& why) {
    const json::value& report = member_of(why, "transaction");
    std::string out = text_fields({{"id", text_of(report, "id")},
                                   {"state", text_of(report, "state")},
                                   {"outcome", text_of(report, "outcome")},
                                   {"version", text_of(report, "version")},
                                   {"age", age_text(report)},
                                   {"timeline", timeline_text(report)},
                                   {"labels", labels_text(report)},
                                   {"reason", reason_text(member_of(report, "reason"))},
                                   {"next", text_of(why, "next")},
                                   {"safe", text_of(why, "safe")}});
    for (const json::value& branch : list_of(why, "branches")) {
        out += "\n" + explained_branch_text(why, branch);
    }
    out += "\nlog records\n";
    for (const json::value& record : list_of(why, "records")) {
        out += record_text(record, "  ");
    }
    if (list_of(why, "records").empty()) out += "  none\n";
    return out;
}

std::string why_branch_text(const json::value& why, std::uint16_t branch) {
    std::string out;
    for (const json::value& candidate : list_of(why, "branches")) {
        if (number_of(candidate, "branch") != branch) continue;
        out += explained_branch_text(why, candidate);
    }
    return out;
}

// ---- lists ----------------------------------------------------------------------------

std::string transactions_table(const json::array& reports) {
    std::vector<Row> rows;
    rows.reserve(reports.size());
    for (const json::value& report : reports) {
        rows.push_back({text_of(report, "id"),
                        text_of(report, "state"),
                        text_of(report, "outcome"),
                        age_text(report),
                        participants_text(report),
                        labels_text(report)});
    }
    return text_table({"ID", "STATE", "OUTCOME", "AGE", "PARTICIPANTS", "LABELS"}, rows);
}

std::string in_doubt_table(const json::array& reports) {
    std::vector<Row> rows;
    for (const json::value& report : reports) {
        for (const json::value& branch : list_of(report, "branches")) {
            if (!is_open_branch(branch)) continue;
            rows.push_back({text_of(report, "id"),
                            text_of(report, "state"),
                            age_text(report),
                            text_of(branch, "branch"),
                            text_of(branch, "participant"),
                            text_of(branch, "state"),
                            text_of(branch, "tries"),
                            branch_note(branch)});
        }
    }
    return text_table(
        {"ID", "STATE", "AGE", "BRANCH", "PARTICIPANT", "BRANCH STATE", "TRIES", "NOTE"}, rows);
}

std::string participants_table(const json::array& participants) {
    std::vector<Row> rows;
    rows.reserve(participants.size());
    for (const json::value& participant : participants) {
        std::string state = flag_of(participant, "up") ? "up" : "down";
        if (flag_of(participant, "retired")) state = "retired";
        rows.push_back({text_of(participant, "name"),
                        text_of(participant, "url"),
                        state,
                        text_of(participant, "epoch"),
                        text_of(participant, "slots"),
                        text_of(participant, "identity"),
                        text_of(participant, "problem")});
    }
    return text_table({"NAME", "URL", "STATE", "EPOCH", "SLOTS", "DATABASE", "PROBLEM"}, rows);
}

}  // namespace twofold::app
