// The JSON of a branch's work to statements, in both dialects, with SQL text allowed and not.
#include "base/assert.h"
#include "fuzz/cursor.h"
#include "fuzz/targets.h"
#include "participant/work/work.h"

#include <memory>
#include <string>

namespace twofold::fuzz {

namespace {

namespace work = participant::work;

work::Catalog make_catalog(const work::SqlDialect& dialect) {
    work::Catalog catalog;
    catalog["debit"] = work::compile({"UPDATE account SET balance = balance - :amount, note = :note"
                                      " WHERE id = :id",
                                      {{"id", "integer"}, {"amount", "number"}, {"note", "text?"}},
                                      1},
                                     dialect)
                           .value();
    catalog["keep"] =
        work::compile({"INSERT INTO kept VALUES (:b, :j, :t, :f)",
                       {{"b", "bytes"}, {"j", "json"}, {"t", "timestamp"}, {"f", "boolean"}},
                       {}},
                      dialect)
            .value();
    return catalog;
}

void check(const protocol::JsonText& text, const work::WorkRules& rules) {
    work::ParsedWork parsed = work::parse_work(text, rules);
    if (!parsed.refusal.empty()) {
        TWOFOLD_ASSERT(!parsed.refusal.message.empty(), "a refusal without a reason");
        return;
    }
    TWOFOLD_ASSERT(parsed.statements.size() <= rules.statements_max, "too many statements");
    for (const work::Statement& statement : parsed.statements) {
        TWOFOLD_ASSERT(!work::refusal_of(statement.sql, rules.dialect).has_value(),
                       "a statement that may not run in a branch was taken");
        bool is_named = statement.sql.starts_with("UPDATE account SET balance = ") ||
                        statement.sql.starts_with("INSERT INTO kept VALUES (");
        TWOFOLD_ASSERT(rules.raw_sql || is_named, "SQL text was taken where it is off");
    }
}

}  // namespace

void branch_work(base::ByteSpan input) {
    static const work::Catalog postgres = make_catalog(work::kPostgresSql);
    static const work::Catalog sqlite = make_catalog(work::kSqliteSql);
    auto text = std::make_shared<const std::string>(as_text(input));
    for (bool raw_sql : {false, true}) {
        check(text, {postgres, work::kPostgresSql, raw_sql, 4});
        check(text, {sqlite, work::kSqliteSql, raw_sql, 4});
    }
}

}  // namespace twofold::fuzz
