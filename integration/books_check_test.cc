// The check of the books after a long run, on books that were made by hand: each thing that must
// never be is there once, and is found.
#include "integration/books_check.h"

#include <gmock/gmock.h>

namespace twofold::integration {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::int64_t kOpening = std::int64_t{kAccounts} * kBalance;

// Transfer 1 and appends 2, 3, 4 to list 7, all in two databases; transfer 5 was refused.
class BooksCheck : public ::testing::Test {
protected:
    BooksCheck() : books_(2) {
        deeds_.push_back(
            {.number = 1, .from = 0, .to = 1, .amount = 5, .told = Verdict::committed});
        for (std::uint64_t number : {2U, 3U, 4U}) {
            deeds_.push_back({.number = number,
                              .append = true,
                              .databases = 0b11,
                              .list = 7,
                              .told = Verdict::committed});
        }
        deeds_.push_back({.number = 5, .from = 1, .to = 0, .amount = 3, .told = Verdict::aborted});
        books_[0] = {.balances = kOpening - 5, .ledger = {{1, -5}}, .lists = {{7, {2, 3, 4}}}};
        books_[1] = {.balances = kOpening + 5, .ledger = {{1, 5}}, .lists = {{7, {2, 3, 4}}}};
    }

    std::vector<std::string> found() { return check_books(deeds_, books_).violations; }

    std::vector<Deed> deeds_;
    std::vector<Books> books_;
};

TEST_F(BooksCheck, GoodBooks) {
    BooksVerdict verdict = check_books(deeds_, books_);
    EXPECT_THAT(verdict.violations, IsEmpty());
    EXPECT_EQ(verdict.committed, 4U);
    EXPECT_EQ(verdict.imbalance, 0);
}

TEST_F(BooksCheck, AnUnansweredRequestMayHaveEitherEnd) {
    deeds_[0].told = Verdict::unknown;
    deeds_[4].told = Verdict::unknown;
    EXPECT_THAT(found(), IsEmpty());
}

TEST_F(BooksCheck, MoneyThatAppears) {
    books_[1].balances += 7;
    EXPECT_THAT(found(),
                ElementsAre(HasSubstr("not what the ledger says"), HasSubstr("imbalance=7")));
}

TEST_F(BooksCheck, ATransferOnOneSide) {
    books_[1].ledger.clear();
    books_[1].balances -= 5;
    EXPECT_THAT(found(), ElementsAre(HasSubstr("imbalance=-5"), HasSubstr("on one side only")));
}

TEST_F(BooksCheck, AnotherAmount) {
    books_[0].ledger[1] = -4;
    books_[0].balances += 1;
    EXPECT_THAT(found(), ElementsAre(HasSubstr("imbalance=1"), HasSubstr("wrong amount")));
}

TEST_F(BooksCheck, AnAbortedTransferThatIsThere) {
    for (Books& books : books_) books.ledger[5] = &books == &books_[0] ? 3 : -3;
    books_[0].balances += 3;
    books_[1].balances -= 3;
    EXPECT_THAT(found(), ElementsAre(HasSubstr("told aborted, but there")));
}

TEST_F(BooksCheck, ACommittedOneThatIsNot) {
    for (Books& books : books_) books = {.balances = kOpening, .lists = books.lists};
    EXPECT_THAT(found(), ElementsAre(HasSubstr("told committed, not there")));
}

TEST_F(BooksCheck, WhatNobodyAskedFor) {
    books_[0].ledger[99] = 0;
    books_[1].lists[7].push_back(98);
    EXPECT_THAT(found(),
                ElementsAre(HasSubstr("nobody asked for transfer 99"),
                            HasSubstr("nobody asked for append 98")));
}

TEST_F(BooksCheck, AnAppendInOneDatabaseOnly) {
    books_[1].lists[7] = {2, 4};
    EXPECT_THAT(found(), ElementsAre(HasSubstr("in some of its databases only")));
}

TEST_F(BooksCheck, AnAppendDoneTwice) {
    books_[0].lists[7] = {2, 3, 4};
    books_[0].lists[8] = {3};
    EXPECT_THAT(found(),
                ElementsAre(HasSubstr("appended twice"), HasSubstr("appended to another list")));
}

TEST_F(BooksCheck, TwoOrders) {
    books_[1].lists[7] = {2, 4, 3};
    EXPECT_THAT(found(), ElementsAre(HasSubstr("no order is possible: ")));
}

// Each list alone is fine; together nobody can have been first.
TEST_F(BooksCheck, TwoOrdersInTwoLists) {
    for (std::uint64_t number : {12U, 13U}) {
        deeds_.push_back({.number = number, .append = true, .databases = 0b10, .list = 8});
    }
    deeds_[2].reads.push_back({.database = 1, .list = 8, .count = 2, .last = 13});
    books_[1].lists[8] = {12, 13};
    EXPECT_THAT(found(), IsEmpty());
    // 12 has seen what 3 appended, and 3 has seen what came after 12.
    deeds_[5].reads.push_back({.database = 0, .list = 7, .count = 2, .last = 3});
    EXPECT_THAT(found(), ElementsAre(HasSubstr("no order is possible: ")));
}

TEST_F(BooksCheck, AReadOfWhatWasNotCommitted) {
    deeds_[1].reads.push_back({.database = 1, .list = 7, .count = 4, .last = 77});
    EXPECT_THAT(found(), ElementsAre(HasSubstr("has read 77, which was not committed")));
}

}  // namespace
}  // namespace twofold::integration
