// A start shows itself before it presumes anything, and stops when a participant says that its log
// is not what it was.
#include "coordinator/core/script.h"

#include <gtest/gtest.h>

namespace twofold::coordinator {
namespace {

using enum protocol::ItemStatus;
using protocol::ParticipantNumber;
namespace reason = protocol::reason;

Config named_start() {
    Config config;
    config.start_nonce = 77;
    config.start_position = 500;
    return config;
}

// The second start; t1.1 had been prepared under the first one, and is named by PREPARING if
// wanted.
struct Restart {
    explicit Restart(bool logged, bool accept_offers = false)
        : script(state(logged), named_start(), accept_offers) {}

    RecoveredState state(bool logged) {
        Script first;
        first.when("work comes", first.submit({1, 2}));
        group = first.txn;
        keys = {first.key(1), first.key(2)};
        RecoveredState found = first_start(2);
        found.epochs[2] = epoch_record(2);
        found.epoch = 2;
        if (!logged) return found;
        protocol::PreparingRecord& record = found.undecided[group];
        record.group = group;
        for (std::uint16_t i = 1; i <= 2; ++i) {
            protocol::BranchRecord branch;
            branch.branch = i;
            branch.attempt = 1;
            branch.participant = ParticipantNumber(i);
            branch.uuid = participant_info(i).uuid;
            branch.identity = participant_info(i).identity;
            record.branches.push_back(branch);
        }
        return found;
    }
    // Seen, and what it answers to the offer.
    void seen_and_answers(std::uint16_t participant, std::string_view refusal = {}) {
        script.when("it is seen", script.seen(participant));
        script.when("it answers", script.offer_answered(participant, refusal));
    }

    protocol::TxnId group;
    std::vector<protocol::BranchKey> keys;
    Script script;
};

TEST(Offers, nothing_is_presumed_before_every_participant_has_answered) {
    Restart r(true);
    Script& s = r.script;
    s.expect({});  // the abort of t1.1 is held
    EXPECT_EQ(s.machine.not_ready().code, reason::kNotReady);
    s.when("a participant asks", s.inquire(1, r.keys[0])).quiet();
    s.when("a client asks", OutcomeRequest{Ticket(1), r.group, {}}).quiet();
    EXPECT_EQ(s.machine.query(r.group).kind, AnswerKind::cannot_tell);
    s.when("new work comes", s.submit({1, 2})).quiet();
    s.when("and more", s.begin()).quiet();
    r.seen_and_answers(1);
    s.expect({});
    s.when("the other is seen", s.seen(2)).quiet();
    s.when("it accepts", s.offer_answered(2))
        .expect({"send abort t1.1/1.1 to 1",
                 "send abort t1.1/2.1 to 2",
                 "answer 1 finished aborted (coordinator_restart) key_open",
                 "inquiry t1.1/1.1 abort",
                 "append preparing t2.1",
                 "send execute_prepare t2.1/1.1 to 1",
                 "send execute_prepare t2.1/2.1 to 2",
                 "answer 2 begun"});
    EXPECT_TRUE(s.machine.not_ready().empty());
}

// The planted bug; what it presumes can be the opposite of what was decided.
TEST(Offers, a_machine_that_presumes_at_once_is_noticed) {
    Restart r(true);
    Config config = named_start();
    config.sabotage.presume_before_offers = true;
    Script s(r.state(true), config, false);
    s.expect({"send abort t1.1/1.1 to 1", "send abort t1.1/2.1 to 2"});
}

TEST(Offers, not_too_much_new_work_is_held) {
    Restart r(false);
    Config config = named_start();
    config.transactions_max = 1;
    Script s(r.state(false), config, false);
    s.when("new work comes", s.submit({1, 2})).quiet();
    s.when("and more", s.begin()).expect({"answer 2 overloaded (not_ready)"});
}

TEST(Offers, what_no_record_names_is_not_presumed_either) {
    Restart r(false);
    Script& s = r.script;
    s.when("a participant asks", s.inquire(1, r.keys[0])).quiet();
    EXPECT_EQ(s.machine.query(r.group).kind, AnswerKind::cannot_tell);
    r.seen_and_answers(1);
    s.when("the other cannot be reached", s.lost(2)).expect({"inquiry t1.1/1.1 abort"});
    EXPECT_EQ(s.machine.query(r.group).report.outcome, protocol::Outcome::aborted);
}

TEST(Offers, a_participant_that_cannot_answer_is_not_waited_for) {
    Restart r(false);
    Script& s = r.script;
    r.seen_and_answers(1);
    s.when("the other is seen", s.seen(2));
    Input silent = s.offer_answered(2);
    std::get<OfferAnswered>(silent).reply.reset();
    s.when("it does not answer", silent);
    EXPECT_TRUE(s.machine.not_ready().empty());
}

// An answer has told so before it was seen: nobody is asked there, and nobody waited for.
TEST(Offers, who_is_known_to_be_another_is_not_waited_for) {
    Restart r(true);
    RecoveredState state = r.state(true);
    UnfinishedGroup& group = state.unfinished_commits[r.group];
    group.decision.group = r.group;
    group.decision.decision = protocol::Decision::commit;
    group.decision.branches = state.undecided.at(r.group).branches;
    state.undecided.clear();
    Script s(state, named_start(), false);
    s.when("another answers to the commit", s.reply(1, refused, reason::kIdentityMismatch));
    s.when("south is seen", s.seen(2));
    s.when("it accepts", s.offer_answered(2));
    s.when("work comes", s.submit({2})).quiet();
    s.infos[1].identity.fields = {"other"};
    s.when("the other is seen", s.seen(1)).expect_one("send execute_prepare t2.1/1.1 to 2");
    EXPECT_TRUE(s.machine.not_ready().empty());
}

TEST(Offers, a_registration_under_another_identity_is_not_waited_for) {
    Restart r(false);
    Script& s = r.script;
    r.seen_and_answers(2);
    protocol::ParticipantInfo other = s.infos[1];
    other.identity.fields = {"other"};
    s.when("it has another name", RegisterParticipant{other.uuid, "new", other.identity})
        .expect_one("alarm identity_mismatch at 1");
    EXPECT_TRUE(s.machine.not_ready().empty());
}

TEST(Offers, commits_of_the_log_are_told_at_once) {
    Restart r(true);
    RecoveredState state = r.state(true);
    UnfinishedGroup& group = state.unfinished_commits[r.group];
    group.decision.group = r.group;
    group.decision.decision = protocol::Decision::commit;
    group.decision.branches = state.undecided.at(r.group).branches;
    state.undecided.clear();
    Script s(state, named_start(), false);
    s.expect({"send commit t1.1/1.1 to 1", "send commit t1.1/2.1 to 2"});
}

TEST(Offers, the_first_start_has_nothing_to_presume) {
    Script s(first_start(2), named_start(), false);
    EXPECT_TRUE(s.machine.not_ready().empty());
}

TEST(Offers, a_restored_log_is_noticed_before_anything_was_presumed) {
    for (std::string_view code : {reason::kSenderConflict, reason::kLogWentBack}) {
        Restart r(true);
        Script& s = r.script;
        s.when("south asks", s.inquire(2, r.keys[1])).quiet();
        s.when("a client asks", OutcomeRequest{Ticket(9), r.group, {}}).quiet();
        s.when("new work comes", s.submit({1, 2})).quiet();
        s.when("north is seen", s.seen(1));
        s.when("it has heard another start", s.offer_answered(1, code))
            .expect({"alarm log_went_back at 1",
                     "force restore refused above epoch 0",
                     "answer 9 cannot_tell (log_went_back)",
                     "inquiry t1.1/2.1 cannot_tell",
                     "answer 1 cannot_tell (log_went_back)"});
        EXPECT_EQ(s.machine.not_ready().code, reason::kLogWentBack);
        s.when("south is seen", s.seen(2)).quiet();
        s.when("it accepts", s.offer_answered(2)).quiet();
        s.when("south asks again", s.inquire(2, r.keys[1]))
            .expect({"inquiry t1.1/2.1 cannot_tell"});
        s.when("work comes", s.submit({1, 2})).expect({"answer 2 cannot_tell (log_went_back)"});
        EXPECT_EQ(s.machine.query(r.group).kind, AnswerKind::cannot_tell);
    }
}

TEST(Offers, a_newer_start_elsewhere_stops_this_one) {
    Restart r(false);
    Script& s = r.script;
    s.when("it is seen", s.seen(1));
    s.when("it has heard a newer one", s.offer_answered(1, reason::kStaleSender))
        .expect({"alarm stale_sender at 1", "force restore refused above epoch 0"});
    EXPECT_EQ(s.machine.not_ready().code, reason::kStaleSender);
}

TEST(Offers, an_idle_coordinator_notices_too) {
    Script s;
    s.when("it is seen", s.seen(1));
    s.when("a copy has spoken there", s.offer_answered(1, reason::kSenderConflict))
        .expect({"alarm log_went_back at 1", "force restore refused above epoch 0"});
}

TEST(Offers, the_answer_of_another_database_does_not_count) {
    Script s;
    s.when("it is seen", s.seen(1));
    Input answer = s.offer_answered(1, reason::kSenderConflict);
    std::get<OfferAnswered>(answer).reply->identity.fields = {"other"};
    s.when("another answers", answer).quiet();
    EXPECT_TRUE(s.machine.not_ready().empty());
}

TEST(Offers, a_refused_item_tells_the_same) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("refused", s.reply(1, refused, reason::kLogWentBack))
        .expect({"alarm log_went_back at 1",
                 "force restore refused above epoch 0",
                 "answer 1 cannot_tell (log_went_back)"});
}

// It is looked at more often than its offers end: the first that ends counts.
TEST(Offers, a_later_look_does_not_begin_the_wait_anew) {
    Restart r(false);
    Script& s = r.script;
    r.seen_and_answers(2);
    s.when("it is seen", s.seen(1));
    Input first = s.offer_answered(1);
    std::get<OfferAnswered>(first).reply.reset();
    s.when("it is seen once more", s.seen(1));
    EXPECT_FALSE(s.machine.not_ready().empty());
    s.when("the first offer was not answered in time", first);
    EXPECT_TRUE(s.machine.not_ready().empty());
}

// ---- participants that the log does not know ---------------------------------------------

// A copy of the log may be older than a participant: nothing is presumed before every address was
// looked at, and who answers there and is not known has seen our start, too.
TEST(Offers, an_unknown_participant_is_shown_our_start_before_anything_is_presumed) {
    for (bool is_known_to_it : {false, true}) {
        Restart r(true);
        Script s(r.state(true), named_start(), false, false);
        s.when("work comes", s.submit({1}));
        for (std::uint16_t i = 1; i <= 2; ++i) {
            s.when("it is seen", s.seen(i));
            s.when("it accepts", s.offer_answered(i)).quiet();
        }
        EXPECT_NE(s.machine.not_ready().message.find("address"), std::string::npos);
        s.infos[3] = participant_info(3);
        s.when("another answers",
               RegisterParticipant{s.infos[3].uuid, s.infos[3].name, s.infos[3].identity})
            .expect_one("force participant 3 p3");
        Input durable = s.durable();
        s.when("every address was looked at", AddressesLookedAt{}).quiet();
        s.when("durable", durable).expect({"registered 3"});
        s.when("it is seen", s.seen(3)).quiet();
        EXPECT_EQ(s.machine.not_ready().code, reason::kNotReady);
        if (is_known_to_it) {
            s.when("it has heard more", s.offer_answered(3, reason::kLogWentBack))
                .expect_one("alarm log_went_back at 3")
                .expect_one("answer 1 cannot_tell (log_went_back)");
        } else {
            s.when("it accepts", s.offer_answered(3))
                .expect_one("send abort t1.1/1.1 to 1")
                .expect_one("send execute_prepare t2.1/1.1 to 1");
        }
    }
}

TEST(Offers, an_unknown_participant_that_is_lost_again_is_not_waited_for) {
    Restart r(false);
    Script s(r.state(false), named_start(), false, false);
    for (std::uint16_t i = 1; i <= 2; ++i) s.when("cannot be reached", s.lost(i));
    s.infos[3] = participant_info(3);
    s.when("another answers",
           RegisterParticipant{s.infos[3].uuid, s.infos[3].name, s.infos[3].identity});
    Input durable = s.durable();
    s.when("every address was looked at", AddressesLookedAt{});
    s.when("durable", durable).expect({"registered 3"});
    s.when("it is lost", s.lost(3));
    EXPECT_TRUE(s.machine.not_ready().empty());
}

TEST(Offers, the_claim_of_an_unknown_participant_is_told_to_a_person) {
    Restart r(false, true);
    Script& s = r.script;
    Input asks = s.inquire(1, r.keys[0]);
    auto& request = std::get<Inquire>(asks).request;
    request.senders = {{s.machine.incarnation(), 9, 1, 1}};
    request.participant.bytes.fill(0x77);
    s.when("a stranger asks", asks).expect_one("alarm log_went_back at 0");
    s.when("once is enough", asks).expect_none("alarm log_went_back");
    EXPECT_TRUE(s.machine.not_ready().empty());
}

// ---- what an inquiry says -------------------------------------------------------------

struct Claim {
    protocol::Epoch epoch;
    std::uint64_t nonce;
    std::uint64_t position;
    bool doubtful;
};

TEST(Offers, an_inquiry_that_knows_more_than_the_log_is_checked) {
    const std::vector<Claim> claims{{2, 77, 900, false},  // ourselves
                                    {1, 5, 500, false},   // a former start
                                    {2, 78, 1, true},     // somebody else had our epoch
                                    {3, 5, 1, true},      // somebody newer
                                    {2, 0, 500, false},   // our epoch, by its number only
                                    {2, 0, 501, true},    // and more than we have read
                                    {1, 5, 501, true}};   // a former start had written more
    for (const Claim& claim : claims) {
        Restart r(false, true);
        Script& s = r.script;
        Input asks = s.inquire(1, r.keys[0]);
        std::get<Inquire>(asks).request.senders = {
            {s.machine.incarnation(), claim.epoch, claim.nonce, claim.position}};
        s.when("a participant asks", asks);
        if (!claim.doubtful) {
            s.expect({"inquiry t1.1/1.1 abort"});
            continue;
        }
        s.expect({});
        ASSERT_EQ(s.effects.size(), 1U) << "it is offered our start once more";
        Input refused = s.offer_answered(1, reason::kSenderConflict);
        Input accepted = s.offer_answered(1);
        s.when("it has lied", accepted).expect({"inquiry t1.1/1.1 abort"});
        s.when("a participant asks", asks).expect({});
        std::get<OfferAnswered>(refused).offer = std::get<OfferAnswered>(s.offer_answered(1)).offer;
        s.when("it refuses us", refused)
            .expect({"alarm log_went_back at 1",
                     "force restore refused above epoch 0",
                     "inquiry t1.1/1.1 cannot_tell"});
    }
}

TEST(Offers, anothers_claim_is_not_looked_at) {
    Restart r(false, true);
    Script& s = r.script;
    Input asks = s.inquire(1, r.keys[0]);
    auto& request = std::get<Inquire>(asks).request;
    request.senders = {{s.machine.incarnation(), 9, 1, 1}};
    request.participant.bytes.fill(0x77);
    s.when("a stranger asks", asks).expect_none("offer");
    EXPECT_TRUE(s.machine.not_ready().empty());
}

}  // namespace
}  // namespace twofold::coordinator
