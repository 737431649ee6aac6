#include "participant/postgres/admission.h"

#include <algorithm>
#include <array>

namespace twofold::participant::postgres {

namespace {

constexpr std::array kAdmitted = std::to_array<std::string_view>(
    {"select", "insert", "update", "delete", "merge", "with", "values", "table"});

constexpr std::array kTransactionControl = std::to_array<std::string_view>(
    {"begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release", "prepare"});

constexpr std::array kTags = std::to_array<std::string_view>(
    {"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "SET CONSTRAINTS"});

bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

// The position after a comment that begins at `at`, or `at` when none does. Block comments nest.
std::size_t after_comment(std::string_view sql, std::size_t at) {
    std::string_view rest = sql.substr(at);
    if (rest.starts_with("--")) {
        std::size_t end = sql.find_first_of("\r\n", at);
        return end == std::string_view::npos ? sql.size() : end;
    }
    if (!rest.starts_with("/*")) return at;
    std::size_t depth = 0;
    while (at < sql.size()) {
        rest = sql.substr(at);
        if (rest.starts_with("/*")) {
            ++depth;
            at += 2;
        } else if (rest.starts_with("*/")) {
            at += 2;
            if (--depth == 0) return at;
        } else {
            ++at;
        }
    }
    return at;
}

std::size_t skip_blank(std::string_view sql, std::size_t at, bool parentheses) {
    for (;;) {
        while (at < sql.size() && (is_space(sql[at]) || (parentheses && sql[at] == '('))) ++at;
        std::size_t next = after_comment(sql, at);
        if (next == at) return at;
        at = next;
    }
}

std::string word_at(std::string_view sql, std::size_t at) {
    std::string word;
    for (; at < sql.size() && is_letter(sql[at]); ++at) {
        char c = sql[at];
        word += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    return word;
}

// SET CONSTRAINTS is the one SET that belongs to the work itself.
bool is_set_constraints(std::string_view sql) {
    std::size_t at = skip_blank(sql, 0, false);
    at = skip_blank(sql, at + 3, false);
    return word_at(sql, at) == "constraints";
}

std::string upper(std::string_view word) {
    std::string text(word);
    for (char& c : text) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    return text;
}

}  // namespace

std::string first_keyword(std::string_view sql) { return word_at(sql, skip_blank(sql, 0, true)); }

std::optional<std::string> refusal_of(std::string_view sql) {
    std::string word = first_keyword(sql);
    if (std::ranges::find(kAdmitted, word) != kAdmitted.end()) return std::nullopt;
    if (word == "set" && is_set_constraints(sql)) return std::nullopt;
    if (word.empty()) return "there is no SQL statement in it";
    if (std::ranges::find(kTransactionControl, word) != kTransactionControl.end()) {
        return upper(word) + " is not allowed in a branch: the coordinator ends the transaction";
    }
    return upper(word) +
           " is not allowed in a branch: only SELECT, INSERT, UPDATE, DELETE, MERGE, WITH, VALUES, "
           "TABLE and SET CONSTRAINTS are";
}

bool is_admitted_tag(std::string_view tag) {
    return std::ranges::any_of(kTags, [tag](std::string_view known) {
        return tag.starts_with(known) && (tag.size() == known.size() || tag[known.size()] == ' ');
    });
}

}  // namespace twofold::participant::postgres
