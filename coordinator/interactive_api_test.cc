// Interactive transactions through the REST interface: every branch of begin, enlist, commit and
// abort, with every bad input.
#include "coordinator/api_fixture.h"

namespace twofold::coordinator {
namespace {

using protocol::ItemOp;
using InteractiveApi = ApiFixture;

const std::string kNorth = R"({"participant":"north"})";
const std::string kSouth = R"({"participant":"south"})";

std::string sidecar(unsigned epoch, const std::string& session) {
    return R"({"participant":"north","participant_epoch":)" + std::to_string(epoch) +
           R"(,"session":")" + session + R"("})";
}

TEST_F(InteractiveApi, ATransactionFromBeginToCommit) {
    Call begun = post("/v1/transactions", R"({"deadline_ms":9000,"labels":{"order":"17"}})");
    ASSERT_EQ(begun.brief(), "201 active");
    std::string path = begun.header("Location");
    EXPECT_EQ(path, "/v1/transactions/" + begun.member("id"));
    EXPECT_EQ(begun.header("Twofold-Transaction"), begun.member("id"));
    EXPECT_LE(std::stoul(begun.member("deadline_ms")), 9000U);
    EXPECT_GT(std::stoul(begun.member("deadline_ms")), 0U);
    EXPECT_EQ(begun.member("labels"), R"({"order":"17"})");

    Call north = post(path + "/branches", sidecar(1, "18446744073709551615"));
    EXPECT_EQ(north.brief(), "201 enlisted");
    EXPECT_EQ(north.member("id"), begun.member("id"));
    EXPECT_EQ(north.member("branch"), "1");
    EXPECT_EQ(north.member("attempt"), "1");
    EXPECT_EQ(north.member("participant"), "north");
    EXPECT_EQ(north.member("participant_epoch"), "1");
    EXPECT_EQ(north.member("participant_uuid"), participants_[0]->info.uuid.text());
    EXPECT_EQ(north.member("identity"), participants_[0]->info.identity.text());
    EXPECT_EQ(north.header("Twofold-Transaction"), begun.member("id"));
    EXPECT_EQ(north.body()["sender"].at("incarnation").as_string(),
              driver_->stamp().incarnation.text());
    EXPECT_EQ(north.body()["sender"].at("epoch").to_number<protocol::Epoch>(),
              driver_->stamp().epoch);
    EXPECT_LE(std::stoul(north.member("deadline_ms")), std::stoul(begun.member("deadline_ms")));
    EXPECT_EQ(post(path + "/branches", kSouth).member("branch"), "2");

    Call asked = get(path);
    EXPECT_EQ(asked.brief(), "200 active");
    EXPECT_EQ(asked.header("ETag"), '"' + asked.member("version") + '"');

    Call committed = post(path + "/commit", R"({"executes":{"north":2}})");
    EXPECT_EQ(committed.brief(), "200 committed");
    EXPECT_EQ(committed.header("Twofold-Transaction"), begun.member("id"));
    ASSERT_EQ(count(0, ItemOp::prepare), 1U);
    EXPECT_EQ(sent(0, ItemOp::prepare)[0].expected_executes, 2U);
    EXPECT_EQ(post(path + "/commit").brief(), "200 committed") << "twice is once";
    EXPECT_EQ(count(0, ItemOp::commit), 1U);
}

TEST_F(InteractiveApi, TheSameEnlistmentAgainIsTheSameBranch) {
    std::string path = begin();
    EXPECT_EQ(post(path + "/branches", sidecar(1, "7")).brief(), "201 enlisted");
    Call again = post(path + "/branches", sidecar(1, "7"));
    EXPECT_EQ(again.brief(), "200 enlisted");
    EXPECT_EQ(again.member("branch"), "1");
    EXPECT_EQ(post(path + "/branches", kSouth).brief(), "201 enlisted");
    EXPECT_EQ(post(path + "/branches", kSouth).brief(), "200 enlisted");
}

TEST_F(InteractiveApi, AnotherSessionDoomsIt) {
    std::string path = begin();
    EXPECT_EQ(post(path + "/branches", sidecar(1, "7")).brief(), "201 enlisted");
    EXPECT_EQ(post(path + "/branches", sidecar(1, "8")).brief(), "409 branch_lost");
    EXPECT_EQ(post(path + "/branches", kSouth).brief(), "409 branch_lost") << "for everybody";
    Call commit = post(path + "/commit");
    EXPECT_EQ(commit.brief(), "409 transaction_aborted");
    EXPECT_EQ(commit.body()["reason"].at("code").as_string(), "branch_lost");
    EXPECT_EQ(count(0, ItemOp::abort), 1U);
}

TEST_F(InteractiveApi, EnlistsOfAnOlderEpochAreRefused) {
    participants_[0]->info.epoch = 4;
    start(first_state(), Config{});
    driver_->submit(ParticipantSeen{driver_->find_participant("north")->number, [&] {
                                        protocol::ParticipantInfo info = participants_[0]->info;
                                        info.epoch = 4;
                                        return info;
                                    }()});
    std::string path = begin();
    Call stale = post(path + "/branches", sidecar(3, "7"));
    EXPECT_EQ(stale.brief(), "409 wrong_state");
    EXPECT_EQ(stale.body()["reason"].at("code").as_string(), "stale_participant_epoch");
    EXPECT_EQ(get(path).brief(), "200 active") << "nothing was lost";
    EXPECT_EQ(post(path + "/branches", sidecar(4, "7")).brief(), "201 enlisted");
}

// What a caller says about an epoch must not reach other transactions.
TEST_F(InteractiveApi, AnInventedEpochHarmsOnlyItsOwnTransaction) {
    std::string path = begin();
    EXPECT_EQ(post(path + "/branches", sidecar(4'000'000'000U, "7")).brief(), "201 enlisted");
    std::string other = begin();
    EXPECT_EQ(post(other + "/branches", kNorth).member("participant_epoch"), "1");
    EXPECT_EQ(post(other + "/commit").brief(), "200 committed");
}

TEST_F(InteractiveApi, BadEnlistmentsNameTheFieldAndTheFix) {
    std::string path = begin();
    auto refused = [&](const std::string& body) {
        Call call = post(path + "/branches", body);
        return call.brief() + ": " + call.member("detail");
    };
    EXPECT_EQ(refused(R"({"participant":"east"})"),
              "422 unknown_participant: participant: \"east\" is not configured; configured are "
              "north south west");
    std::string unreached = refused(R"({"participant":"west"})");
    EXPECT_TRUE(unreached.starts_with(
        "503 participant_unusable: participant: participant west at http://fake-3 has not been "
        "reached since the coordinator's start"))
        << unreached;
    EXPECT_EQ(refused("{}"), "400 malformed_body: participant: must be a string, but is missing");
    EXPECT_EQ(refused(R"({"participant":7})"),
              "400 malformed_body: participant: must be a string, found an integer");
    EXPECT_TRUE(refused("").starts_with("400 malformed_body: "));
    EXPECT_TRUE(refused("[]").starts_with("400 malformed_body: "));
    EXPECT_TRUE(refused(R"({"participant":"north","sesion":"7"})")
                    .starts_with("400 malformed_body: sesion: unknown member; known are"));
    EXPECT_TRUE(refused(R"({"participant":"north","participant_epoch":0,"session":"7"})")
                    .starts_with("400 malformed_body: participant_epoch: must be"));
    EXPECT_TRUE(refused(R"({"participant":"north","participant_epoch":1,"session":7})")
                    .starts_with("400 malformed_body: session: must be"));
    EXPECT_TRUE(refused(R"({"participant":"north","participant_epoch":1,"session":"-7"})")
                    .starts_with("400 malformed_body: session: must be"));
    EXPECT_EQ(refused(R"({"participant":"north","session":"7"})"),
              "422 invalid_request: participant_epoch: missing; participant_epoch and session come "
              "together, from the participant itself, or not at all");
    EXPECT_EQ(refused(R"({"participant":"north","participant_epoch":7})").substr(0, 35),
              "422 invalid_request: session: missi");
    EXPECT_EQ(get(path).member("branches"), "[]") << "none of them left anything";
    EXPECT_EQ(post(path + "/commit").brief(), "200 committed");
}

TEST_F(InteractiveApi, BadBeginsNameTheFieldAndTheFix) {
    auto refused = [&](const std::string& body) {
        Call call = post("/v1/transactions", body);
        return call.brief() + ": " + call.member("detail");
    };
    EXPECT_TRUE(refused(R"({"wait":"decided"})").starts_with("422 invalid_request: wait: only"));
    EXPECT_TRUE(refused(R"({"answer_within_ms":1})")
                    .starts_with("422 invalid_request: answer_within_ms: only"));
    EXPECT_TRUE(refused(R"({"deadline_ms":0})")
                    .starts_with("400 malformed_body: deadline_ms: must be an integer from 1"));
    EXPECT_TRUE(
        refused(R"({"deadline_ms":3600001})").starts_with("400 malformed_body: deadline_ms"));
    EXPECT_TRUE(refused(R"({"idle_deadline_ms":"x"})")
                    .starts_with("400 malformed_body: idle_deadline_ms: must be"));
    EXPECT_TRUE(refused(R"({"labels":{"a":1}})").starts_with("400 malformed_body: labels.a: must"));
    EXPECT_TRUE(refused(R"({"branchs":[]})").starts_with("400 malformed_body: branchs: unknown"));
    EXPECT_TRUE(refused("").starts_with("400 malformed_body: "));
    EXPECT_TRUE(refused(R"({"branches":[],"idle_deadline_ms":5})")
                    .starts_with("422 invalid_request: idle_deadline_ms: not together"));
    EXPECT_EQ(driver_->machine().counts().active, 0U);
}

TEST_F(InteractiveApi, BadCommitsAndAbortsNameTheFieldAndTheFix) {
    std::string path = begin();
    auto refused = [&](const std::string& what, const std::string& body) {
        Call call = post(path + what, body);
        return call.brief() + ": " + call.member("detail");
    };
    EXPECT_TRUE(refused("/commit", R"({"wait":"soon"})")
                    .starts_with("400 malformed_body: wait: must be \"applied\" or \"decided\""));
    EXPECT_TRUE(refused("/commit", R"({"answer_within_ms":0})")
                    .starts_with("400 malformed_body: answer_within_ms: must be"));
    EXPECT_TRUE(refused("/commit", R"({"executes":[]})")
                    .starts_with("400 malformed_body: executes: must be an object"));
    EXPECT_TRUE(refused("/commit", R"({"executes":{"north":-1}})")
                    .starts_with("400 malformed_body: executes.north: must be"));
    EXPECT_TRUE(refused("/commit", R"({"executes":{"east":1}})")
                    .starts_with("422 unknown_participant: executes.east: \"east\" is not"));
    EXPECT_TRUE(refused("/commit", R"({"branches":[]})")
                    .starts_with("400 malformed_body: branches: unknown member"));
    EXPECT_TRUE(refused("/commit", "nonsense").starts_with("400 malformed_body: "));
    EXPECT_TRUE(refused("/abort", R"({"reason":"x"})")
                    .starts_with("400 malformed_body: reason: unknown member"));
    EXPECT_TRUE(refused("/abort", "[]").starts_with("400 malformed_body: "));
    EXPECT_EQ(get(path).brief(), "200 active") << "none of them ended it";
}

TEST_F(InteractiveApi, IdsThatAreNoneAreNotFound) {
    std::string path = begin();
    std::string forged = path;
    forged.back() = forged.back() == 'A' ? 'Q' : 'A';
    for (const std::string& wrong : {forged, std::string("/v1/transactions/x")}) {
        EXPECT_EQ(get(wrong).brief(), "404 transaction_not_found");
        EXPECT_EQ(post(wrong + "/branches", kNorth).brief(), "404 transaction_not_found");
        EXPECT_EQ(post(wrong + "/commit").brief(), "404 transaction_not_found");
        EXPECT_EQ(post(wrong + "/abort").brief(), "404 transaction_not_found");
    }
    EXPECT_EQ(get(path).brief(), "200 active");
    Call other = post(path + "/commit", "{}", {{"Twofold-Transaction", "somebody else's"}});
    EXPECT_EQ(other.brief(), "400 bad_request");
    std::string id = path.substr(path.rfind('/') + 1);
    EXPECT_EQ(post(path + "/commit", "{}", {{"Twofold-Transaction", id}}).brief(), "200 committed");
}

TEST_F(InteractiveApi, BelowTheHorizonEverythingIsExpired) {
    std::string path = begin();
    EXPECT_EQ(post(path + "/abort").brief(), "200 aborted");
    RecoveredState later = first_state();
    later.epoch = 2;
    later.epochs[2] = protocol::EpochRecord{{}, 2, {}};
    later.horizon = {1, 5};
    start(std::move(later), Config{});
    EXPECT_EQ(get(path).brief(), "410 transaction_expired");
    EXPECT_EQ(post(path + "/branches", kNorth).brief(), "410 transaction_expired");
    EXPECT_EQ(post(path + "/commit").brief(), "410 transaction_expired");
    EXPECT_EQ(post(path + "/abort").brief(), "410 transaction_expired") << "never \"aborted\"";
}

TEST_F(InteractiveApi, AfterARestartAnActiveTransactionIsAborted) {
    std::string path = begin();
    EXPECT_EQ(post(path + "/branches", kNorth).brief(), "201 enlisted");
    RecoveredState later = first_state();
    later.epoch = 2;
    later.epochs[2] = protocol::EpochRecord{{}, 2, {}};
    start(std::move(later), Config{});
    EXPECT_EQ(get(path).brief(), "200 aborted");
    EXPECT_EQ(post(path + "/branches", kNorth).brief(), "409 wrong_state");
    EXPECT_EQ(post(path + "/commit").brief(), "409 transaction_aborted");
    EXPECT_EQ(post(path + "/abort").brief(), "200 aborted");
}

TEST_F(InteractiveApi, TheOppositeOfATakenDecisionIsToldTheOutcome) {
    std::string path = begin();
    post(path + "/branches", kNorth);
    EXPECT_EQ(post(path + "/abort").brief(), "200 aborted");
    EXPECT_EQ(post(path + "/abort", "{}").brief(), "200 aborted") << "twice is once";
    Call commit = post(path + "/commit");
    EXPECT_EQ(commit.brief(), "409 opposite_outcome");
    EXPECT_EQ(commit.member("outcome"), "aborted");
    EXPECT_EQ(post(path + "/branches", kSouth).brief(), "409 wrong_state");

    path = begin();
    post(path + "/branches", kNorth);
    EXPECT_EQ(post(path + "/commit").brief(), "200 committed");
    Call abort = post(path + "/abort");
    EXPECT_EQ(abort.brief(), "409 opposite_outcome");
    EXPECT_EQ(abort.member("outcome"), "committed");
    EXPECT_EQ(post(path + "/branches", kNorth).brief(), "409 wrong_state");
    EXPECT_EQ(get(path).brief(), "200 committed");
}

TEST_F(InteractiveApi, ExecutesThatDifferAbort) {
    std::string path = begin();
    post(path + "/branches", kNorth);
    Call commit = post(path + "/commit", R"({"executes":{"south":1}})");
    EXPECT_EQ(commit.brief(), "409 transaction_aborted");
    EXPECT_EQ(commit.body()["reason"].at("code").as_string(), "executes_differ");
    EXPECT_EQ(count(0, ItemOp::abort), 1U);
}

TEST_F(InteractiveApi, CommitAndAbortAtOnceFromTwoSides) {
    std::string path = begin();
    post(path + "/branches", kNorth);
    participants_[0]->free = false;  // its prepare waits
    Call commit = post(path + "/commit");
    EXPECT_FALSE(commit.answered());
    EXPECT_EQ(post(path + "/branches", kSouth).brief(), "409 wrong_state");
    EXPECT_EQ(post(path + "/abort").brief(), "200 aborted") << "nothing was decided yet";
    EXPECT_EQ(commit.brief(), "409 transaction_aborted");
    EXPECT_EQ(commit.body()["reason"].at("code").as_string(), "client_abort");

    path = begin();
    post(path + "/branches", kSouth);
    log_.hold = true;
    commit = post(path + "/commit");
    Call abort = post(path + "/abort");
    EXPECT_FALSE(abort.answered()) << "the decision is on its way to the disk: nobody can say";
    EXPECT_FALSE(commit.answered());
    log_.hold = false;
    log_.finish();
    turn();
    EXPECT_EQ(commit.brief(), "200 committed");
    EXPECT_EQ(abort.brief(), "409 opposite_outcome");
}

TEST_F(InteractiveApi, AnUnknownOutcomeIsAcceptedWithItsLocation) {
    std::string path = begin();
    post(path + "/branches", kNorth);
    log_.hold = true;
    Call commit = post(path + "/commit", R"({"answer_within_ms":1})");
    ASSERT_TRUE(loop_.run_until([&] { return commit.answered(); }, std::chrono::seconds(10)));
    EXPECT_EQ(commit.brief(), "202 proposing");
    EXPECT_EQ(commit.member("decision"), "none");
    EXPECT_EQ(commit.header("Location"), path);
    participants_[0]->answer = [this](const protocol::Item& item,
                                      FakeParticipant::ResultCallback& on_result) {
        protocol::ItemResult result = participants_[0]->usual(item);
        result.status = protocol::ItemStatus::unknown;  // does not acknowledge
        on_result(result);
    };
    Call decided = post(path + "/commit", R"({"wait":"decided"})");
    log_.hold = false;
    log_.finish();
    turn();
    EXPECT_EQ(decided.brief(), "202 committed");
    EXPECT_EQ(decided.member("decision"), "commit");
    EXPECT_EQ(decided.header("Location"), path);
}

TEST_F(InteractiveApi, DeadlinesEndWhatNobodyCommits) {
    std::string total = begin(R"({"deadline_ms":1})");
    std::string idle = begin(R"({"idle_deadline_ms":1})");
    std::string kept = begin();
    for (const std::string& path : {total, idle}) {
        ASSERT_TRUE(loop_.run_until([&] { return get(path).brief() == "200 aborted"; },
                                    std::chrono::seconds(10)));
        Call commit = post(path + "/commit");
        EXPECT_EQ(commit.brief(), "409 transaction_aborted");
        EXPECT_EQ(commit.body()["reason"].at("code").as_string(), "deadline_exceeded");
    }
    EXPECT_EQ(get(kept).brief(), "200 active");
}

TEST_F(InteractiveApi, ALongPollAnswersWithTheNextVersion) {
    std::string path = begin();
    std::string version = get(path).member("version");
    Call poll{std::make_shared<http::FakeResponsePort>()};
    http::Request request;
    request.target = request.path = path;
    request.query = {{"since", version}, {"wait_ms", "60000"}};
    router_.dispatch(std::move(request), poll.port->sink());
    turn();
    EXPECT_FALSE(poll.answered());
    post(path + "/branches", kNorth);
    ASSERT_TRUE(poll.answered());
    EXPECT_NE(poll.header("ETag"), '"' + version + '"');
    EXPECT_EQ(get(path + "?wait_ms=x").brief(), "422 invalid_request");
    EXPECT_EQ(get(path + "?wait=1").brief(), "422 invalid_request");
}

TEST_F(InteractiveApi, TwoNamesOfOneDatabaseAreRefused) {
    std::string path = begin();
    protocol::ParticipantInfo twin = participants_[0]->info;
    twin.uuid.bytes.fill(9);
    participants_[2]->info = twin;
    participants_[2]->down = false;
    ASSERT_TRUE(
        loop_.run_until([&] { return driver_->find_participant("west")->number.value != 0; },
                        std::chrono::seconds(10)));
    turn();
    EXPECT_EQ(post(path + "/branches", kNorth).brief(), "201 enlisted");
    Call second = post(path + "/branches", R"({"participant":"west"})");
    EXPECT_EQ(second.brief(), "422 invalid_request");
    EXPECT_EQ(second.member("detail"),
              "north and west are the same database: one transaction has one branch there");
    EXPECT_EQ(post(path + "/commit").brief(), "200 committed");
}

TEST_F(InteractiveApi, WithoutRoomNothingBeginsAndWhatWasBegunEnds) {
    std::string path = begin();
    driver_->submit(LogRoom{false});
    Call refused = post("/v1/transactions", "{}");
    EXPECT_EQ(refused.brief(), "503 no_room");
    EXPECT_EQ(refused.header("Retry-After"), "1");
    EXPECT_EQ(post(path + "/branches", kNorth).brief(), "201 enlisted");
    EXPECT_EQ(post(path + "/commit").brief(), "200 committed");
    driver_->submit(Drain{});
    EXPECT_EQ(post("/v1/transactions", "{}").brief(), "503 draining");
}

// ---- the key of a begin ---------------------------------------------------------------

TEST_F(InteractiveApi, TheKeyOfABeginTellsTheEnd) {
    for (const std::string how : {"commit", "abort"}) {
        std::vector<Field> key{{"Idempotency-Key", how}};
        Call first = post("/v1/transactions", "{}", key);
        ASSERT_EQ(first.brief(), "201 active");
        std::string path = first.header("Location");
        ASSERT_EQ(post(path + "/branches", R"({"participant":"north"})").status(), 201);
        Call active = post("/v1/transactions", "{}", key);
        EXPECT_EQ(active.brief(), "201 active");
        EXPECT_EQ(active.header("Location"), path);
        EXPECT_EQ(active.header("Idempotency-Replayed"), "true");
        post(path + "/" + how);
        Call ended = post("/v1/transactions", "{}", key);
        EXPECT_EQ(ended.brief(), how == "commit" ? "200 committed" : "200 aborted");
        EXPECT_EQ(ended.member("id"), first.member("id"));
        EXPECT_EQ(ended.header("Idempotency-Replayed"), "true");
    }
}

// ---- ages and idle deadlines ----------------------------------------------------------

TEST_F(InteractiveApi, OneTransactionHasItsAgeAndItsTimeline) {
    std::string path = begin();
    EXPECT_NE(get(path).member("age_ms"), "(none)");
    EXPECT_EQ(get(path).member("timeline"), R"([{"state":"active","at_ms":0}])");
    post(path + "/abort");
    EXPECT_NE(get(path).member("timeline").find(R"("state":"aborted")"), std::string::npos);
    Call list = get("/v1/transactions");
    EXPECT_NE(list.member("transactions").find("\"age_ms\":"), std::string::npos);
    EXPECT_EQ(list.member("transactions").find("timeline"), std::string::npos);
}

TEST_F(InteractiveApi, WhoIsEnlistedIsToldTheIdleDeadline) {
    std::string path = begin(R"({"idle_deadline_ms":5000})");
    Call enlisted = post(path + "/branches", R"({"participant":"north"})");
    EXPECT_EQ(enlisted.member("idle_deadline_ms"), "5000");
    Call without = post(begin() + "/branches", R"({"participant":"south"})");
    EXPECT_EQ(without.status(), 201);
    EXPECT_EQ(without.member("idle_deadline_ms"), "(none)");
}

}  // namespace
}  // namespace twofold::coordinator
