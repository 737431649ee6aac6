#include "integration/demo_audit.h"

#include "integration/process.h"

#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <set>
#include <sstream>

namespace twofold::integration {

namespace {

using base::Errc;
using base::fail;
using base::Result;

std::string shell_form(const std::vector<std::string>& words) {
    std::string out;
    for (const std::string& word : words) {
        bool plain = word.find_first_of(" *()='\"") == std::string::npos;
        out += out.empty() ? "" : " ";
        out += plain ? word : "\"" + word + "\"";
    }
    return out;
}

Result<std::string> ask(const AuditedDatabase& database, const std::string& sql, bool show_answer) {
    std::vector<std::string> words = database.command;
    words.push_back(sql);
    std::printf("     $ %s\n", shell_form(words).c_str());
    std::vector<std::string> arguments(std::next(words.begin()), words.end());
    TWOFOLD_TRY(Finished finished, run_program(words.front(), std::move(arguments)));
    if (!finished.status.exited_with(0)) {
        return fail(Errc::io_error, words.front() + ": " + finished.output);
    }
    if (show_answer) std::printf("       %s", finished.output.c_str());
    return finished.output;
}

Result<std::int64_t> ask_number(const AuditedDatabase& database, const std::string& sql) {
    TWOFOLD_TRY(std::string text, ask(database, sql, true));
    return std::strtoll(text.c_str(), nullptr, 10);
}

Result<std::set<std::string>> ask_references(const AuditedDatabase& database) {
    TWOFOLD_TRY(std::string text, ask(database, "SELECT ref FROM ledger", false));
    std::istringstream lines(text);
    std::set<std::string> references;
    for (std::string line; std::getline(lines, line);) {
        if (!line.empty()) references.insert(line);
    }
    std::printf("       %zu transfers\n", references.size());
    return references;
}

void compare(const std::vector<std::set<std::string>>& books,
             const std::vector<Told>& told,
             AuditResult& result) {
    for (const Told& one : told) {
        const std::string& reference = one.transfer.reference;
        bool first = books[0].contains(reference);
        bool second = books[1].contains(reference);
        if (first != second) ++result.one_sided;
        ++(first ? result.committed : result.aborted);
        bool said_committed = one.reply.status == 200 || one.reply.text_at("decision") == "commit";
        bool said_aborted = one.reply.status == 409;
        if ((said_committed && !first) || (said_aborted && first)) ++result.broken_answers;
    }
}

}  // namespace

Result<AuditResult> audit(const std::vector<AuditedDatabase>& databases,
                          const std::vector<Told>& told) {
    AuditResult result;
    std::vector<std::set<std::string>> books;
    for (const AuditedDatabase& database : databases) {
        std::printf("   %s\n", database.name.c_str());
        TWOFOLD_TRY(std::int64_t sum, ask_number(database, "SELECT sum(balance) FROM accounts"));
        TWOFOLD_TRY(std::int64_t prepared, ask_number(database, database.prepared_sql));
        TWOFOLD_TRY(std::set<std::string> references, ask_references(database));
        result.sum += sum;
        result.prepared += prepared;
        books.push_back(std::move(references));
    }
    compare(books, told, result);
    return result;
}

}  // namespace twofold::integration
