#include "app/answer_view.h"

#include "app/indoubt_list.h"

#include <gtest/gtest.h>

#include <string>

namespace twofold::app {
namespace {

constexpr const char* kReport =
    R"({"id":"T1","state":"committing","outcome":"unknown","recorded":true,"version":5,)"
    R"("branches":[{"branch":1,"participant":"north","state":"committed","attempt":1,"tries":1,)"
    R"("outcome":"committed"},{"branch":2,"participant":"south","state":"parked","attempt":1,)"
    R"("tries":4,"reason":{"code":"bad_answer","message":"aborted after yes"}}],)"
    R"("labels":{"order":"17"}})";

constexpr const char* kWhyTail =
    R"(,"next":"every branch is told","safe":"bring participants back","branches":[)"
    R"({"branch":1,"attempt":1,"replaced":false,"participant":"north","state":"committed",)"
    R"("gid":"g1","identity":"i1","proof":{"xid":"750","timeline":1,"position":"99",)"
    R"("witness":true},"next":"nothing: it has ended","safe":""},)"
    R"({"branch":2,"attempt":1,"replaced":false,"participant":"south","state":"parked",)"
    R"("gid":"g2","identity":"i2","next":"nothing","safe":"then resolve the branch"}],)"
    R"("records":[{"type":"decision","group":"T1","decision":"commit",)"
    R"("members":[{"type":"member","txn":"T1"}]}]})";

boost::json::value why() {
    return parse_answer(std::string(R"({"transaction":)") + kReport + kWhyTail);
}

TEST(AnswerView, ATransactionIsFieldsAndATableOfBranches) {
    EXPECT_EQ(transaction_text(parse_answer(kReport)),
              "id       T1\n"
              "state    committing\n"
              "outcome  unknown\n"
              "version  5\n"
              "labels   order=17\n"
              "\n"
              "BRANCH  PARTICIPANT  STATE      OUTCOME    TRIES  NOTE\n"
              "1       north        committed  committed  1      -\n"
              "2       south        parked     -          4      bad_answer: aborted after yes\n");
}

TEST(AnswerView, AChangeIsOneLine) {
    EXPECT_EQ(change_line(parse_answer(kReport)),
              "v5  committing  unknown  north=committed south=parked");
}

TEST(AnswerView, WhyNamesTheProofOrItsAbsence) {
    EXPECT_EQ(why_text(why()),
              "id       T1\n"
              "state    committing\n"
              "outcome  unknown\n"
              "version  5\n"
              "labels   order=17\n"
              "next     every branch is told\n"
              "safe     bring participants back\n"
              "\n"
              "branch 1 at north: committed\n"
              "  outcome   committed\n"
              "  tries     1\n"
              "  gid       g1\n"
              "  database  i1\n"
              "  proof     transaction 750 of timeline 1 at position 99, and a witness row\n"
              "  next      nothing: it has ended\n"
              "\n"
              "branch 2 at south: parked\n"
              "  note      bad_answer: aborted after yes\n"
              "  tries     4\n"
              "  gid       g2\n"
              "  database  i2\n"
              "  proof     none came with its vote\n"
              "  next      nothing\n"
              "  safe      then resolve the branch\n"
              "\n"
              "log records\n"
              "  decision group=T1 decision=commit\n"
              "    member txn=T1\n");
    EXPECT_TRUE(why_branch_text(why(), 2).starts_with("branch 2 at south: parked\n"));
    EXPECT_EQ(why_branch_text(why(), 3), "");
}

TEST(AnswerView, OnlyOpenBranchesAreInDoubt) {
    std::string table = in_doubt_table({parse_answer(kReport)});
    EXPECT_EQ(table.find("north"), std::string::npos) << table;
    EXPECT_NE(table.find("T1  committing  -    2       south"), std::string::npos) << table;
}

TEST(AnswerView, TheOldestInDoubtIsFirst) {
    boost::json::array reports{parse_answer(R"({"id":"none"})"),
                               parse_answer(R"({"id":"young","age_ms":40})"),
                               parse_answer(R"({"id":"old","age_ms":4000})")};
    sort_by_age(reports);
    EXPECT_EQ(text_of(reports.at(0), "id"), "old");
    EXPECT_EQ(text_of(reports.at(1), "id"), "young");
    EXPECT_EQ(text_of(reports.at(2), "id"), "none");
    EXPECT_NE(transactions_table(reports).find("4s"), std::string::npos);
}

TEST(AnswerView, ATimelineIsOneLine) {
    EXPECT_EQ(
        transaction_text(parse_answer(R"({"id":"T1","timeline":[{"state":"active","at_ms":0},)"
                                      R"({"state":"aborting","at_ms":12}]})")),
        "id        T1\n"
        "timeline  active 0ms, aborting 12ms\n");
}

TEST(AnswerView, AnEndIsRecognised) {
    EXPECT_FALSE(has_ended(parse_answer(kReport)));
    for (const char* state : {"committed", "aborted", "heuristic", "heuristic-hazard"}) {
        EXPECT_TRUE(has_ended(parse_answer(std::string(R"({"state":")") + state + "\"}")));
    }
}

TEST(AnswerView, AProblemAboutATransactionIsShown) {
    EXPECT_EQ(ended_text(parse_answer(
                  R"({"title":"t","transaction_id":"T1","outcome":"aborted","branch":1,)"
                  R"("participant":"north","reason":{"code":"constraint","message":"taken"}})")),
              "id          T1\n"
              "outcome     aborted\n"
              "reason      constraint: taken\n"
              "refused by  branch 1 at north\n");
    EXPECT_EQ(ended_text(parse_answer(R"({"title":"t"})")), "");
}

TEST(AnswerView, ForeignShapesAreEmptyAndHarmless) {
    for (const char* text : {"", "null", "[1]", "\"x\"", R"({"branches":7,"labels":[],"id":3})"}) {
        boost::json::value value = parse_answer(text);
        EXPECT_NO_THROW({
            static_cast<void>(transaction_text(value));
            static_cast<void>(why_text(value));
            static_cast<void>(change_line(value));
            static_cast<void>(ended_text(value));
        }) << text;
    }
    EXPECT_EQ(number_of(parse_answer(R"({"version":-1})"), "version"), 0U);
}

}  // namespace
}  // namespace twofold::app
