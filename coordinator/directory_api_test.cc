#include "coordinator/directory_api.h"

#include "coordinator/api_fixture.h"

#include <map>
#include <utility>

namespace twofold::coordinator {
namespace {

class FakeDirectory final : public DirectoryPort {
public:
    base::Result<void> check(const std::string& url) const override {
        if (off) return base::fail(base::Errc::permission_denied, "it is off");
        if (url.starts_with("http://fake")) return base::ok();
        return base::fail(base::Errc::precondition_failed, "url: not allowed");
    }
    bool is_configured(std::string_view name) const override { return name == "north"; }
    std::unique_ptr<ParticipantPort> connect(const std::string& url) override {
        auto made = std::make_unique<FakeParticipant>(ids.at(url), url);
        made->answer = [this, url, one = made.get()](const protocol::Item& item, auto& on_result) {
            ++answered[url];
            on_result(one->usual(item));
        };
        made->down = down;
        newest = made.get();
        return made;
    }
    base::Result<void> keep(const std::string& name,
                            const std::string& url,
                            const protocol::ParticipantUuid& /*uuid*/) override {
        if (full) return base::fail(base::Errc::disk_full, "no space");
        kept[name] = url;
        return base::ok();
    }

    bool off = false;
    bool down = false;
    bool full = false;
    std::map<std::string, std::uint8_t> ids{
        {"http://fake-9", 9}, {"http://fake-9b", 9}, {"http://fake-2", 2}, {"http://fake-8", 8}};
    std::map<std::string, std::string> kept;
    std::map<std::string, int> answered;  // items, by address
    FakeParticipant* newest = nullptr;
};

class DirectoryApiTest : public ApiFixture {
protected:
    void SetUp() override {
        ApiFixture::SetUp();
        add_directory_routes(router_, *driver_, directory_);
    }
    Call put(const std::string& name, const std::string& url) {
        Call made =
            call(http::Method::put, "/v1/participants/" + name, R"({"url":")" + url + R"("})");
        turn();
        return made;
    }

    Call work_for_east() {
        return post("/v1/transactions",
                    R"({"branches":[{"participant":"east","work":[{"sql":"x"}]}]})");
    }

    FakeDirectory directory_;
};

TEST_F(DirectoryApiTest, WhatIsPutTakesWork) {
    EXPECT_EQ(put("east", "http://fake-9").status(), 201);
    EXPECT_EQ(directory_.kept["east"], "http://fake-9");
    Call ran = post("/v1/transactions",
                    R"({"branches":[{"participant":"north","work":[{"sql":"x"}]},)"
                    R"({"participant":"east","work":[{"sql":"x"}]}]})");
    EXPECT_EQ(ran.brief(), "200 committed") << ran.port->response.body;
    EXPECT_FALSE(directory_.newest->batches.empty());
}

TEST_F(DirectoryApiTest, AnotherAddressOfTheSameOne) {
    EXPECT_EQ(put("east", "http://fake-9").status(), 201);
    EXPECT_EQ(put("east", "http://fake-9b").status(), 200);
    EXPECT_EQ(directory_.kept["east"], "http://fake-9b");
    EXPECT_EQ(work_for_east().brief(), "200 committed");
    EXPECT_EQ(directory_.answered["http://fake-9"], 0);
    EXPECT_GT(directory_.answered["http://fake-9b"], 0);
}

TEST_F(DirectoryApiTest, AFormerAddressThatIsDownSaysNothingAboutTheNewOne) {
    EXPECT_EQ(put("east", "http://fake-9").status(), 201);
    FakeParticipant* old = directory_.newest;
    old->free = false;  // what is for it waits, and keeps the address
    Call waiting = work_for_east();
    EXPECT_FALSE(waiting.answered());
    EXPECT_EQ(put("east", "http://fake-9b").status(), 200);
    old->down = true;
    old->free = true;
    EXPECT_EQ(work_for_east().brief(), "200 committed");
    turn();
    EXPECT_TRUE(waiting.answered()) << "it was refused";
    EXPECT_TRUE(driver_->find_participant("east")->up);
    EXPECT_EQ(work_for_east().brief(), "200 committed");
}

TEST_F(DirectoryApiTest, ANameIsOneParticipantForGood) {
    EXPECT_EQ(put("east", "http://fake-9").status(), 201);
    EXPECT_EQ(put("east", "http://fake-8").brief(), "409 another_participant");
    EXPECT_EQ(put("elsewhere", "http://fake-2").brief(), "409 another_participant") << "south";
    EXPECT_EQ(put("elsewhere", "http://fake-9").brief(), "409 another_participant") << "east";
    EXPECT_EQ(put("north", "http://fake-9").brief(), "409 wrong_state") << "configured";
    EXPECT_EQ(directory_.kept.size(), 1U);
}

// Its record is not durable yet: nothing but the call itself knows it.
TEST_F(DirectoryApiTest, TwoCallsAtOnceDoNotShareANameOrAParticipant) {
    log_.hold = true;
    EXPECT_EQ(put("east", "http://fake-9").status(), 201);
    EXPECT_EQ(put("west", "http://fake-9").brief(), "409 another_participant");
    EXPECT_EQ(put("east", "http://fake-8").brief(), "409 another_participant");
    log_.hold = false;
    log_.finish();
    turn();
    EXPECT_EQ(put("east", "http://fake-9b").status(), 200);
    EXPECT_EQ(driver_->find_participant("east")->number.value, 3U);
}

TEST_F(DirectoryApiTest, TheSameAddressAgainKeepsTheConnection) {
    EXPECT_EQ(put("east", "http://fake-9").status(), 201);
    FakeParticipant* first = directory_.newest;
    EXPECT_EQ(put("east", "http://fake-9").status(), 200);
    EXPECT_EQ(work_for_east().brief(), "200 committed");
    EXPECT_FALSE(first->batches.empty());
}

TEST_F(DirectoryApiTest, OnlyWhatIsAllowedAndAnswers) {
    EXPECT_EQ(put("east", "http://elsewhere").brief(), "422 invalid_request");
    EXPECT_EQ(put("..east", "http://fake-9").brief(), "422 invalid_request");
    EXPECT_EQ(call(http::Method::put, "/v1/participants/east", "{}").brief(), "400 malformed_body");
    directory_.down = true;
    EXPECT_EQ(put("east", "http://fake-9").brief(), "503 participant_unusable");
    directory_.down = false;
    directory_.full = true;
    EXPECT_EQ(put("east", "http://fake-9").brief(), "500 internal_error");
    directory_.full = false;
    directory_.off = true;
    EXPECT_EQ(put("east", "http://fake-9").brief(), "403 registration_off");
    EXPECT_TRUE(directory_.kept.empty());
    EXPECT_EQ(driver_->find_participant("east"), nullptr);
}

}  // namespace
}  // namespace twofold::coordinator
