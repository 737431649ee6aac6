// Server-sent events through the REST interface.
#include "coordinator/api_fixture.h"

namespace twofold::coordinator {
namespace {

class EventsApi : public ApiFixture {
protected:
    std::shared_ptr<http::FakeResponsePort> follow(const std::string& last_id = {}) {
        std::vector<Field> fields;
        if (!last_id.empty()) fields.push_back({"Last-Event-ID", last_id});
        return call(http::Method::get, "/v1/events", {}, fields).port;
    }
    static std::string last_id_in(const std::string& text) {
        std::size_t at = text.rfind("id: ") + 4;
        return text.substr(at, text.find('\n', at) - at);
    }
    static std::size_t count_of(const std::string& text, const std::string& what) {
        std::size_t found = 0;
        for (std::size_t at = text.find(what); at != std::string::npos;
             at = text.find(what, at + 1)) {
            ++found;
        }
        return found;
    }
};

TEST_F(EventsApi, TellsWhatHappensToATransaction) {
    auto stream = follow();
    EXPECT_TRUE(stream->streaming);
    EXPECT_EQ(stream->response.content_type, "text/event-stream");
    EXPECT_EQ(stream->response.body, "") << "only what comes from now on";
    std::string path = begin();
    std::string id = path.substr(path.rfind('/') + 1);
    EXPECT_NE(stream->response.body.find("event: transaction\ndata: {\"id\":\"" + id +
                                         "\",\"version\":1}\n\n"),
              std::string::npos)
        << stream->response.body;
    post(path + "/commit");
    EXPECT_NE(stream->response.body.find("{\"id\":\"" + id + "\",\"outcome\":\"committed\"}"),
              std::string::npos);
}

TEST_F(EventsApi, AReaderThatComesBackGetsWhatItMissed) {
    auto stream = follow();
    begin();
    std::string seen = last_id_in(stream->response.body);
    stream->close();
    EXPECT_EQ(driver_->events().readers(), 0U);
    begin();
    auto again = follow(seen);
    EXPECT_EQ(count_of(again->response.body, "event: transaction"), 1U) << again->response.body;
    EXPECT_EQ(count_of(again->response.body, "event: gap"), 0U);
    auto stranger = follow("7");
    EXPECT_TRUE(stranger->response.body.starts_with("event: gap\ndata: {}\n\n"));
    EXPECT_EQ(follow("x")->response.status, 400);
}

TEST_F(EventsApi, ASlowReaderIsToldWhatItMissed) {
    auto stream = follow();
    stream->write_status = http::WriteStatus::backpressure;
    begin();
    std::size_t before = stream->chunks.size();
    EXPECT_EQ(before, 1U) << "then it stops";
    for (int i = 0; i < 10'000; ++i) driver_->events().add({});
    EXPECT_EQ(stream->chunks.size(), before);
    stream->make_writable();
    EXPECT_EQ(stream->chunks.at(before), "event: gap\ndata: {}\n\n");
    EXPECT_EQ(last_id_in(stream->response.body), std::to_string(driver_->events().last_id()));
}

TEST_F(EventsApi, HeartbeatsAndAlarmsAndParticipants) {
    ApiOptions options;
    options.event_heartbeat = std::chrono::milliseconds(1);
    start(first_state(), Config{}, options);
    auto stream = follow();
    ASSERT_TRUE(
        loop_.run_until([&] { return count_of(stream->response.body, ": heartbeat\n\n") > 2; },
                        std::chrono::seconds(10)));
    participants_[1]->down = true;
    std::string path = begin();
    post(path + "/branches", R"({"participant":"south"})");
    post(path + "/commit");
    EXPECT_NE(stream->response.body.find("event: participant\ndata: {\"participant\":\"south\","
                                         "\"up\":false"),
              std::string::npos)
        << stream->response.body;
}

TEST_F(EventsApi, StreamsEndWhenTheCoordinatorStops) {
    auto stream = follow();
    driver_->drain(std::chrono::milliseconds(1), [] {});
    EXPECT_TRUE(stream->answered);
    EXPECT_EQ(driver_->events().readers(), 0U);
    EXPECT_TRUE(follow()->answered) << "and nobody can begin one that would hold it up";
}

TEST_F(EventsApi, ReadersAreLimited) {
    std::vector<std::shared_ptr<http::FakeResponsePort>> streams;
    streams.reserve(64);
    for (int i = 0; i < 64; ++i) streams.push_back(follow());
    EXPECT_TRUE(streams.back()->streaming);
    EXPECT_EQ(follow()->response.status, 503);
    for (auto& stream : streams) stream->close();
    EXPECT_TRUE(follow()->streaming);
}

}  // namespace
}  // namespace twofold::coordinator
