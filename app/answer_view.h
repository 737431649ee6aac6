// The coordinator's answers as text for people. Pure: JSON in, text out. Members that are missing
// or of another kind read as empty, so that an answer of another version is shown as far as it is
// understood.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace twofold::app {

// ---- reading ----
// Null when the text is no JSON.
[[nodiscard]] boost::json::value parse_answer(const std::string& text);
[[nodiscard]] const boost::json::value& member_of(const boost::json::value& value,
                                                  std::string_view name);
// Strings as they are, numbers and flags as JSON; empty when absent.
[[nodiscard]] std::string text_of(const boost::json::value& value, std::string_view name);
[[nodiscard]] std::uint64_t number_of(const boost::json::value& value, std::string_view name);
[[nodiscard]] bool flag_of(const boost::json::value& value, std::string_view name);
[[nodiscard]] const boost::json::array& list_of(const boost::json::value& value,
                                                std::string_view name);

// ---- one transaction: the report of GET /v1/transactions/{id} ----
// It has reached its outcome, or needs a person: nothing more happens by itself.
[[nodiscard]] bool has_ended(const boost::json::value& report);
// The branch neither ended nor is done with.
[[nodiscard]] bool is_open_branch(const boost::json::value& branch);
[[nodiscard]] std::string transaction_text(const boost::json::value& report);
// A problem that is about a transaction ("it was aborted"); empty when it names none.
[[nodiscard]] std::string ended_text(const boost::json::value& problem);
// "v3  preparing  unknown  orders=yes stock=preparing"
[[nodiscard]] std::string change_line(const boost::json::value& report);
// The answer of GET /v1/transactions/{id}/why.
[[nodiscard]] std::string why_text(const boost::json::value& why);
// What it says of one branch. Empty: there is no such branch.
[[nodiscard]] std::string why_branch_text(const boost::json::value& why, std::uint16_t branch);

// ---- lists ----
[[nodiscard]] std::string transactions_table(const boost::json::array& reports);
// A line for each open branch, and for each that ended against the decision.
[[nodiscard]] std::string in_doubt_table(const boost::json::array& reports);
[[nodiscard]] std::string participants_table(const boost::json::array& participants);

}  // namespace twofold::app
