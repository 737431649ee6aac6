// The pure parts: tables of codes, admission, values, verdicts, proofs, the server check.
#include "participant/postgres/admission.h"
#include "participant/postgres/error_class.h"
#include "participant/postgres/proof.h"
#include "participant/postgres/script.h"
#include "participant/postgres/start.h"
#include "participant/postgres/work.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace twofold::participant::postgres {
namespace {

namespace reason = protocol::reason;
using protocol::FinishStatus;
using ::testing::HasSubstr;

// ---- error classes
// -------------------------------------------------------------------------------

TEST(ErrorClasses, EveryRowIsSound) {
    std::string_view previous;
    for (const ErrorClass& row : error_classes()) {
        SCOPED_TRACE(row.code);
        EXPECT_LT(previous, row.code) << "sorted and unique, for the search";
        previous = row.code;
        EXPECT_TRUE(row.code.size() == 2 || row.code.size() == 5);
        bool definite = row.at_work == Meaning::definite_no || row.at_end == Meaning::definite_no;
        EXPECT_EQ(definite, !row.reason.empty()) << "a refusal has a code, nothing else has";
        EXPECT_NE(row.at_finish, Meaning::definite_no) << "phase 2 is never refused";
        EXPECT_NE(row.at_work, Meaning::gone);
        EXPECT_NE(row.at_end, Meaning::gone);
        if (row.at_end == Meaning::definite_no) EXPECT_EQ(row.at_work, Meaning::definite_no);
        EXPECT_EQ(&error_class(row.code), &row);
    }
}

TEST(ErrorClasses, OnlyUndefinedObjectMeansGone) {
    std::set<std::string_view> gone;
    for (const ErrorClass& row : error_classes()) {
        if (row.at_finish == Meaning::gone) gone.insert(row.code);
    }
    EXPECT_EQ(gone, std::set<std::string_view>{"42704"});
}

TEST(ErrorClasses, WhatMayHideACommitIsUnknown) {
    for (const char* code : {"08006",
                             "08003",
                             "57P01",
                             "57P02",
                             "57P03",
                             "58030",
                             "XX000",
                             "XX001",
                             "40003",
                             "53300",
                             "25P03",
                             "99999",
                             "",
                             "0",
                             "garbage"}) {
        EXPECT_EQ(error_class(code).at_work, Meaning::unknown) << code;
        EXPECT_EQ(error_class(code).at_end, Meaning::unknown) << code;
        EXPECT_NE(error_class(code).at_finish, Meaning::gone) << code;
    }
    EXPECT_EQ(error_class("42710").at_end, Meaning::unknown) << "the gid is prepared already";
    EXPECT_EQ(error_class("57014").at_end, Meaning::unknown);
}

TEST(ErrorClasses, ACodeWinsOverItsClass) {
    EXPECT_EQ(error_class("23505").reason, reason::kConstraint);
    EXPECT_EQ(error_class("40001").reason, reason::kSerialization);
    EXPECT_EQ(error_class("55P03").reason, reason::kLockTimeout);
    EXPECT_EQ(error_class("55006").reason, reason::kStatementFailed);
}

// ---- admission
// -----------------------------------------------------------------------------------

TEST(Admission, Tags) {
    for (const char* tag :
         {"SELECT 1", "INSERT 0 5", "UPDATE 0", "DELETE 3", "MERGE 1", "SET CONSTRAINTS"}) {
        EXPECT_TRUE(is_admitted_tag(tag)) << tag;
    }
    for (const char* tag :
         {"", "COMMIT", "ROLLBACK", "SET", "BEGIN", "PREPARE TRANSACTION", "SELECTION"}) {
        EXPECT_FALSE(is_admitted_tag(tag)) << tag;
    }
}

// ---- values
// --------------------------------------------------------------------------------------

std::string cell(const char* text, std::uint32_t type) {
    std::string out;
    append_cell(out, text == nullptr ? Cell{} : Cell{text}, type);
    return out;
}

TEST(Values, ByType) {
    EXPECT_EQ(cell(nullptr, 23), "null");
    EXPECT_EQ(cell("t", 16), "true");
    EXPECT_EQ(cell("f", 16), "false");
    EXPECT_EQ(cell("-5", 23), "-5");
    EXPECT_EQ(cell("9007199254740992", 20), "9007199254740992");
    EXPECT_EQ(cell("9007199254740993", 20), "\"9007199254740993\"");
    EXPECT_EQ(cell("-9223372036854775808", 20), "\"-9223372036854775808\"");
    EXPECT_EQ(cell("1.50", 1700), "\"1.50\"");
    EXPECT_EQ(cell("1e+20", 701), "1e+20");
    EXPECT_EQ(cell("-Infinity", 701), "\"-Infinity\"");
    EXPECT_EQ(cell("NaN", 700), "\"NaN\"");
    EXPECT_EQ(cell("\\x00ff", 17), R"({"base64":"AP8="})");
    EXPECT_EQ(cell("a\\\\\\000b", 17), R"({"base64":"YVwAYg=="})");
    EXPECT_EQ(cell("a\"b", 25), R"("a\"b")");
    EXPECT_EQ(cell("t", 25), "\"t\"");
}

TEST(Values, RowsInTags) {
    EXPECT_EQ(rows_in_tag("INSERT 0 12"), 12U);
    EXPECT_EQ(rows_in_tag("UPDATE 3"), 3U);
    EXPECT_EQ(rows_in_tag("SET CONSTRAINTS"), 0U);
    EXPECT_EQ(rows_in_tag(""), 0U);
}

// ---- verdicts
// ------------------------------------------------------------------------------------

class VerdictTest : public ::testing::Test {
protected:
    VerdictTest() {
        protocol::BranchWork work;
        work.gid = "gid";
        statements_ = {{"UPDATE a SET b = 1", {}, 1}, {"SELECT 1", {}, {}}};
        script_ = make_script(context_, {work, statements_, false}, Cleanliness::clean);
        one_phase_ = make_script(context_, {work, statements_, true}, Cleanliness::used);
        for (const Statement& statement : script_.statements) {
            static_cast<void>(statement);
            reply_.results.push_back(success(""));
        }
        reply_.results[script_.begin].tag = "BEGIN";
        reply_.results[script_.work] = success("UPDATE 1");
        reply_.results[script_.work + 1] = success("SELECT 1");
        reply_.results[script_.tail].rows = {{Cell{"none"},
                                              Cell{"on"},
                                              Cell{"notice"},
                                              Cell{"1234"},
                                              Cell{"1/A0"},
                                              Cell{"00000002"}}};
        reply_.results[script_.end].tag = "PREPARE TRANSACTION";
        reply_.transaction = TransactionStatus::idle;
    }

    static StatementResult success(std::string tag) {
        StatementResult result;
        result.status = StatementResult::Status::success;
        result.tag = std::move(tag);
        return result;
    }
    void fail(std::size_t index, std::string sqlstate) {
        if (good_.results.empty()) good_ = reply_;
        reply_ = good_;
        reply_.results[index].status = StatementResult::Status::failed;
        reply_.results[index].error = {std::move(sqlstate), "message", ""};
        for (std::size_t i = index + 1; i < reply_.results.size(); ++i) reply_.results[i] = {};
        reply_.transaction =
            index == script_.end ? TransactionStatus::idle : TransactionStatus::failed;
    }
    Verdict verdict() { return judge(script_, statements_, limits_, reply_); }

    async::EventLoop loop_;
    Context context_{loop_, {}};
    Limits limits_;
    std::vector<WorkStatement> statements_;
    Script script_;
    Script one_phase_;
    Reply reply_;
    Reply good_;
};

TEST_F(VerdictTest, Prepared) {
    Verdict found = verdict();
    EXPECT_EQ(found.finding, Finding::prepared);
    EXPECT_EQ(found.proof->xid, 1234U);
    EXPECT_EQ(found.proof->position, (protocol::Position{2, (1ULL << 32U) + 0xa0}));
    EXPECT_EQ(found.after, Cleanliness::used);
}

TEST_F(VerdictTest, OnlyTheExactTagCounts) {
    for (const char* tag : {"ROLLBACK", "COMMIT", "", "PREPARE", "prepare transaction"}) {
        reply_.results[script_.end].tag = tag;
        EXPECT_EQ(verdict().finding, Finding::examine) << tag;
        EXPECT_EQ(verdict().after, Cleanliness::broken);
    }
}

TEST_F(VerdictTest, TransactionControlInTheMiddleIsSeen) {
    reply_.results[script_.work].tag = "COMMIT";
    EXPECT_EQ(verdict().finding, Finding::examine);
    reply_.results[script_.work].tag = "UPDATE 1";
    reply_.results[script_.begin].tag = "SELECT 1";
    EXPECT_EQ(verdict().finding, Finding::examine);
    reply_.results[script_.begin].tag = "BEGIN";
    reply_.transaction = TransactionStatus::open;
    EXPECT_EQ(verdict().finding, Finding::examine);
}

TEST_F(VerdictTest, NoticesCountFromTheStatementBeforeTheEnd) {
    reply_.notices = {{"01000", "raised by the work", script_.constraints}};
    EXPECT_EQ(verdict().finding, Finding::prepared);
    for (std::size_t answered : {script_.end - 1, script_.end}) {
        reply_.notices = {{"01000", "not replicated", answered}};
        EXPECT_EQ(verdict().finding, Finding::undo);
        EXPECT_EQ(verdict().reason.code, reason::kNotReplicated);
    }
    reply_.notices = {{"00000", "a notice", script_.end}};
    EXPECT_EQ(verdict().finding, Finding::prepared);
}

TEST_F(VerdictTest, MissedExpectationsAndTooManyRowsAreUndone) {
    reply_.results[script_.work].tag = "UPDATE 2";
    EXPECT_EQ(verdict().finding, Finding::undo);
    EXPECT_EQ(verdict().reason.code, reason::kExpectationMissed);
    EXPECT_EQ(verdict().reason.statement_index, 0);
    reply_.results[script_.work].tag = "UPDATE 1";
    reply_.results[script_.work + 1].truncated = true;
    EXPECT_EQ(verdict().finding, Finding::undo);
    EXPECT_EQ(verdict().reason.code, reason::kNotAllowed);
}

TEST_F(VerdictTest, TheGuardMeansReadOnly) {
    fail(script_.tail, "22P02");
    EXPECT_EQ(verdict().finding, Finding::read_only);
    EXPECT_EQ(verdict().after, Cleanliness::failed);
    reply_.results[script_.work].tag = "UPDATE 0";
    EXPECT_EQ(verdict().finding, Finding::refused);
    EXPECT_EQ(verdict().reason.code, reason::kExpectationMissed);
}

TEST_F(VerdictTest, ErrorsByPlace) {
    fail(script_.work, "22P02");
    EXPECT_EQ(verdict().finding, Finding::refused) << "the work's own error of the guard's kind";
    EXPECT_EQ(verdict().reason.statement_index, 0);
    EXPECT_TRUE(verdict().executed);
    fail(script_.begin, "25P02");
    EXPECT_FALSE(verdict().executed);
    fail(script_.end, "53200");
    EXPECT_EQ(verdict().reason.code, reason::kSlotsExhausted);
    fail(script_.end, "42710");
    EXPECT_EQ(verdict().finding, Finding::duplicate);
    fail(script_.end, "XX000");
    EXPECT_EQ(verdict().finding, Finding::examine);
    fail(script_.work, "XX000");
    EXPECT_EQ(verdict().finding, Finding::examine);
    fail(script_.end, "23503");
    EXPECT_EQ(verdict().finding, Finding::refused);
    EXPECT_EQ(verdict().reason.code, reason::kConstraint);
}

TEST_F(VerdictTest, ALossIsNeverAnAnswer) {
    for (Loss loss : {Loss::lost, Loss::timed_out, Loss::closed}) {
        reply_.loss = loss;
        EXPECT_EQ(verdict().finding, Finding::lost);
    }
}

TEST_F(VerdictTest, OnePhaseWithAnExpectationEndsApart) {
    EXPECT_TRUE(one_phase_.end_apart);
    EXPECT_EQ(one_phase_.statements.front().sql, "DISCARD ALL");
    EXPECT_EQ(one_phase_.end, one_phase_.statements.size());
    std::vector<WorkStatement> blind = {{"UPDATE a SET b = 1", {}, {}}};
    protocol::BranchWork work;
    EXPECT_FALSE(make_script(context_, {work, blind, true}, Cleanliness::clean).end_apart);
    blind[0].sql = "UPDATE a SET b = 1 ReTurning b";
    EXPECT_TRUE(make_script(context_, {work, blind, true}, Cleanliness::clean).end_apart);
}

// ---- proofs
// --------------------------------------------------------------------------------------

protocol::FinishResult proved(std::optional<protocol::ProofToken> token, const Evidence& evidence) {
    return prove_commit({{}, "gid", token}, evidence);
}

FinishStatus proved_rollback(std::optional<protocol::ProofToken> token, const Evidence& evidence) {
    return prove_rollback({{}, "gid", token}, evidence).status;
}

TEST(Proof, TheCommitLogCountsOnTheSameHistoryOnly) {
    protocol::ProofToken token{.xid = 7, .position = {2, 100}};
    Evidence evidence;
    evidence.position = {2, 100};
    for (auto [status, wanted] :
         std::vector<std::pair<std::string, FinishStatus>>{{"committed", FinishStatus::committed},
                                                           {"aborted", FinishStatus::aborted},
                                                           {"in progress", FinishStatus::unknown},
                                                           {"", FinishStatus::hazard}}) {
        evidence.transaction_status = status;
        EXPECT_EQ(proved(token, evidence).status, wanted) << status;
        for (protocol::Position elsewhere :
             {protocol::Position{1, 500}, protocol::Position{3, 500}, protocol::Position{2, 99}}) {
            Evidence other = evidence;
            other.position = elsewhere;
            EXPECT_EQ(proved(token, other).status, FinishStatus::hazard) << status;
            other.witness = "committed";
            EXPECT_EQ(proved(token, other).status, FinishStatus::committed) << status;
        }
        protocol::ProofToken without = token;
        without.xid = 0;
        EXPECT_EQ(proved(without, evidence).status, FinishStatus::hazard);
    }
    EXPECT_EQ(proved({}, evidence).status, FinishStatus::hazard);
    evidence.transaction_error = "in the future";
    EXPECT_THAT(proved(token, evidence).reason.message, HasSubstr("in the future"));
}

TEST(Proof, ARollbackIsDoneOnlyWhenNothingCanHaveCommitted) {
    protocol::ProofToken token{.xid = 7, .position = {2, 100}};
    Evidence evidence;
    evidence.position = {2, 100};
    evidence.transaction_status = "aborted";
    EXPECT_EQ(proved_rollback(token, evidence), FinishStatus::aborted);
    evidence.transaction_status = "committed";
    EXPECT_EQ(proved_rollback(token, evidence), FinishStatus::committed);
    evidence.transaction_status = "in progress";
    EXPECT_EQ(proved_rollback(token, evidence), FinishStatus::unknown);
    evidence.transaction_status = "";
    EXPECT_EQ(proved_rollback(token, evidence), FinishStatus::hazard);
    EXPECT_EQ(proved_rollback({}, evidence), FinishStatus::not_found);
    evidence.position = {3, 500};
    EXPECT_EQ(proved_rollback(token, evidence), FinishStatus::hazard);
    token.witness = true;  // its row would be there if it had been committed
    EXPECT_EQ(proved_rollback(token, evidence), FinishStatus::aborted);
    evidence.witness = "committed";
    EXPECT_EQ(proved_rollback(token, evidence), FinishStatus::committed);
    EXPECT_EQ(proved_rollback({}, evidence), FinishStatus::committed);
}

// ---- the server check
// ----------------------------------------------------------------------------

TEST(ServerCheck, SaysWhatToChange) {
    ServerFacts good{.version = 130000,
                     .announced_pid = 5,
                     .real_pid = 5,
                     .max_prepared = 1,
                     .fsync = "on",
                     .full_page_writes = "on"};
    PostgresOptions options;
    EXPECT_TRUE(check_server(good, options).has_value());
    auto expect_text = [&](auto change, std::string_view text) {
        ServerFacts facts = good;
        change(facts);
        auto checked = check_server(facts, options);
        ASSERT_FALSE(checked.has_value()) << text;
        EXPECT_EQ(checked.error().code, base::Errc::precondition_failed);
        EXPECT_THAT(checked.error().context, HasSubstr(text));
    };
    expect_text([](ServerFacts& f) { f.version = 120009; }, "13");
    expect_text([](ServerFacts& f) { f.announced_pid = 6; }, "pooler");
    expect_text([](ServerFacts& f) { f.max_prepared = 0; },
                "max_prepared_transactions = 0: set it to at least 64");
    expect_text([](ServerFacts& f) { f.fsync = "off"; }, "fsync = off");
    expect_text([](ServerFacts& f) { f.full_page_writes = "off"; }, "full_page_writes = off");
    expect_text([](ServerFacts& f) { f.in_recovery = true; }, "standby");
    expect_text([](ServerFacts& f) { f.superuser = true; }, "superuser");
    options.allow_superuser = true;
    good.superuser = true;
    EXPECT_TRUE(check_server(good, options).has_value());
}

TEST(Numbers, LsnsAndTimelines) {
    EXPECT_EQ(parse_lsn("0/1943760"), 0x1943760U);
    EXPECT_EQ(parse_lsn("16/B374D848"), 0x16B374D848U);
    EXPECT_EQ(parse_lsn("nothing"), 0U);
    EXPECT_EQ(parse_timeline("0000000A"), 10U);
    EXPECT_EQ(parse_timeline(""), 0U);
    EXPECT_EQ(parse_number("12x"), 0U);
}

}  // namespace
}  // namespace twofold::participant::postgres
