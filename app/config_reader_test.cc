#include "app/configs.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace twofold::app {
namespace {

class ConfigFile : public ::testing::Test {
protected:
    void SetUp() override {
        path_ = std::filesystem::path(::testing::TempDir()) /
                ("twofold-config-" + std::to_string(::getpid()) + ".yaml");
    }
    void TearDown() override {
        std::error_code ignored;
        std::filesystem::remove(path_, ignored);
    }

    std::string write(const std::string& text) {
        std::ofstream(path_) << text;
        return path_.string();
    }
    // The error without the folder, which differs between machines.
    std::string coordinator_error(const std::string& text) {
        auto loaded = load_coordinator_config(write(text));
        return loaded.has_value() ? "accepted" : shortened(loaded.error().context);
    }
    std::string participant_error(const std::string& text) {
        auto loaded = load_participant_config(write(text));
        return loaded.has_value() ? "accepted" : shortened(loaded.error().context);
    }
    std::string shortened(std::string message) const {
        std::string folder = path_.string();
        for (std::size_t at = message.find(folder); at != std::string::npos;
             at = message.find(folder)) {
            message.replace(at, folder.size(), "FILE");
        }
        return message;
    }

    std::filesystem::path path_;
};

TEST_F(ConfigFile, ReadsACoordinator) {
    auto loaded =
        load_coordinator_config(write("listen: 127.0.0.1:9000\n"
                                      "data_dir: /data\n"
                                      "deadline_default: 2m\n"
                                      "participants:\n"
                                      "  - {name: orders, url: 'http://127.0.0.1:8431'}\n"
                                      "log: {segment_size_bytes: 1048576}\n"));
    ASSERT_TRUE(loaded.has_value()) << loaded.error().text();
    EXPECT_EQ(loaded.value().listen.port, 9000);
    EXPECT_EQ(loaded.value().deadline_default, std::chrono::minutes(2));
    EXPECT_EQ(loaded.value().work_size_max, 512U << 20U);
    EXPECT_EQ(loaded.value().segment_size_bytes, 1U << 20U);
    ASSERT_EQ(loaded.value().participants.size(), 1U);
    EXPECT_EQ(loaded.value().participants[0].address.port, 8431);
}

TEST_F(ConfigFile, ErrorsNamePlaceKeyAndFix) {
    EXPECT_EQ(coordinator_error("data_dir: /d\nparticipant: []\n"),
              "FILE:2: unknown key \"participant\"; did you mean \"participants\"?");
    EXPECT_EQ(coordinator_error("data_dir: /d\nlog:\n  segment_size: 5\n"),
              "FILE:3: unknown key \"log.segment_size\"; did you mean \"log.segment_size_bytes\"?");
    EXPECT_EQ(coordinator_error("listen: 127.0.0.1:1\n"),
              "FILE: data_dir: is required, for example /var/lib/twofold");
    EXPECT_EQ(coordinator_error("data_dir: /d\nretry_max: soon\n"),
              "FILE:2: retry_max: must be a duration such as 250ms, 5s or 2m, from 20ms to "
              "600000ms, found \"soon\"");
    EXPECT_EQ(coordinator_error("data_dir: /d\nbody_size_max: -1\n"),
              "FILE:2: body_size_max: must be an integer from 1024 to 67108864, found \"-1\"");
    EXPECT_EQ(coordinator_error("data_dir: [\n").substr(0, 5), "FILE:");
    EXPECT_EQ(coordinator_error("data_dir: /d\nparticipants: [{name: a, url: ftp://x:1}]\n"),
              "FILE:2: participants: \"ftp://x:1\" must look like http://127.0.0.1:8420");
    EXPECT_EQ(
        coordinator_error("data_dir: /d\nparticipants: [{name: .., url: http://x:1}]\n"),
        "FILE:2: participants: \"..\" must be 1 to 64 of A-Z a-z 0-9 - _ ., not beginning with "
        "a dot");
    EXPECT_EQ(load_coordinator_config("/nonexistent.yaml").error().context,
              "/nonexistent.yaml: cannot be read");
}

TEST_F(ConfigFile, AllProblemsAreSaidAtOnceAndEachKeyIsBlamedOnce) {
    EXPECT_EQ(coordinator_error("retry_max: soon\n"
                                "body_size_max: -1\n"
                                "participant: []\n"
                                "log: {segment_size: 5, checkpoint: 6}\n"),
              "FILE: data_dir: is required, for example /var/lib/twofold\n"
              "FILE:1: retry_max: must be a duration such as 250ms, 5s or 2m, from 20ms to "
              "600000ms, found \"soon\"\n"
              "FILE:2: body_size_max: must be an integer from 1024 to 67108864, found \"-1\"\n"
              "FILE:3: unknown key \"participant\"; did you mean \"participants\"?\n"
              "FILE:4: unknown key \"log.segment_size\"; did you mean "
              "\"log.segment_size_bytes\"?\n"
              "FILE:4: unknown key \"log.checkpoint\"; did you mean \"log.checkpoint_bytes\"?");
    EXPECT_EQ(participant_error("coordinators: [http://127.0.0.1:8420]\n"
                                "sqlite: {path: /data/north.db}\n"),
              "FILE: name: is required, for example orders");
}

TEST_F(ConfigFile, APublicBindNeedsTheUglyKey) {
    std::string refused = coordinator_error("data_dir: /d\nlisten: 0.0.0.0:8420\n");
    EXPECT_NE(refused.find("is not a loopback address"), std::string::npos) << refused;
    EXPECT_EQ(coordinator_error("data_dir: /d\nlisten: 0.0.0.0:8420\ninsecure_public_bind: true\n"),
              "accepted");
}

TEST_F(ConfigFile, AParticipantNeedsExactlyOneDatabase) {
    const std::string head = "name: orders\ncoordinators: ['http://127.0.0.1:8420']\n";
    const std::string sqlite = "sqlite: {path: /x.db}\n";
    const std::string postgres = "postgres: {dsn: 'dbname=x'}\n";
    EXPECT_EQ(participant_error(head + sqlite), "accepted");
    EXPECT_EQ(participant_error(head + postgres), "accepted");
    EXPECT_NE(participant_error(head).find("exactly one"), std::string::npos);
    EXPECT_NE(participant_error(head + sqlite + postgres).find("exactly one"), std::string::npos);
    EXPECT_NE(participant_error("name: orders\n" + sqlite).find("coordinators: is required"),
              std::string::npos);
}

TEST_F(ConfigFile, TheEnvironmentWins) {
    ASSERT_EQ(::setenv("TWOFOLD_RETRY_MAX", "7s", 1), 0);
    ASSERT_EQ(::setenv("TWOFOLD_PARTICIPANTS", "a=http://127.0.0.1:1,b=http://127.0.0.1:2", 1), 0);
    auto loaded = load_coordinator_config(write("data_dir: /d\nretry_max: 1s\n"));
    ::unsetenv("TWOFOLD_RETRY_MAX");
    ::unsetenv("TWOFOLD_PARTICIPANTS");
    ASSERT_TRUE(loaded.has_value()) << loaded.error().text();
    EXPECT_EQ(loaded.value().retry_max, std::chrono::seconds(7));
    ASSERT_EQ(loaded.value().participants.size(), 2U);
    EXPECT_EQ(loaded.value().participants[1].name, "b");
}

TEST_F(ConfigFile, ASecretCanBeInAFile) {
    auto loaded =
        load_participant_config(write("name: orders\ncoordinators: ['http://127.0.0.1:8420']\n"
                                      "postgres: {dsn_file: /nonexistent}\n"));
    ASSERT_FALSE(loaded.has_value());
    EXPECT_NE(loaded.error().context.find("/nonexistent cannot be read"), std::string::npos);
}

constexpr const char* kSqliteParticipant =
    "name: north\n"
    "coordinators: [http://127.0.0.1:8420]\n"
    "sqlite: {path: /data/north.db}\n";

TEST_F(ConfigFile, ReadsNamedStatements) {
    auto loaded =
        load_participant_config(write(std::string(kSqliteParticipant) +
                                      "statements:\n"
                                      "  debit:\n"
                                      "    sql: \"UPDATE a SET b = b - :amount WHERE id = :id\"\n"
                                      "    params: {id: integer, amount: 'number?'}\n"
                                      "    expect_rows: 1\n"
                                      "  all: {sql: SELECT * FROM a}\n"));
    ASSERT_TRUE(loaded.has_value()) << loaded.error().text();
    const participant::work::Catalog& statements = loaded.value().statements;
    ASSERT_EQ(statements.size(), 2U);
    EXPECT_EQ(statements.at("debit").sql, "UPDATE a SET b = b - ?2 WHERE id = ?1");
    EXPECT_EQ(statements.at("debit").expect_rows, 1U);
    EXPECT_TRUE(statements.at("debit").params[1].declared.nullable);
    EXPECT_EQ(statements.at("all").expect_rows, std::nullopt);
}

TEST_F(ConfigFile, ThePlaceholdersAreTheDatabasesOwn) {
    auto loaded =
        load_participant_config(write("name: north\n"
                                      "coordinators: [http://127.0.0.1:8420]\n"
                                      "postgres: {dsn: dbname=a}\n"
                                      "statements:\n"
                                      "  one: {sql: \"SELECT :a::text\", params: {a: text}}\n"));
    ASSERT_TRUE(loaded.has_value()) << loaded.error().text();
    EXPECT_EQ(loaded.value().statements.at("one").sql, "SELECT $1::text");
}

TEST_F(ConfigFile, NamesTheStatementThatIsWrong) {
    struct Case {
        const char* text;
        const char* error;
    };
    const Case cases[] = {
        {"  two: {sql: \"SELECT 1; SELECT 2\"}\n",
         "FILE:5: statements.two: sql: must be exactly one statement, found 2"},
        {"  two: {params: {a: text}}\n",
         "FILE: statements.two.sql: is required, for example \"SELECT balance FROM account WHERE "
         "id "
         "= :id\""},
        {"  a.b: {sql: SELECT 1}\n",
         "FILE:5: statements: \"a.b\" must be 1 to 64 of A-Z a-z 0-9 - _"},
        {"  two: {sql: SELECT 1, expects: 1}\n",
         "FILE:5: unknown key \"statements.two.expects\"; did you mean "
         "\"statements.two.expect_rows\"?"},
        {"  two: {sql: SELECT 1, expect_rows: many}\n",
         "FILE:5: statements.two.expect_rows: must be an integer from 0 to 4294967295, found "
         "\"many\""},
        {"  - two\n", "FILE:5: statements: must be a map from names to what they mean"},
        {"  two: {sql: \"SELECT :a\", params: {a: int}}\n",
         "FILE:5: statements.two: params.a: \"int\" must be integer, number, text, boolean, bytes, "
         "json or timestamp, with ? behind it when null is allowed"},
    };
    for (const Case& c : cases) {
        EXPECT_EQ(participant_error(std::string(kSqliteParticipant) + "statements:\n" + c.text),
                  c.error);
    }
}

// What one reader takes for the host another one could take for something else; and it is written
// into the Host field.
TEST(Address, HasAHostThatMeansTheSameToEverybody) {
    for (const char* url : {"http://127.0.0.1:8420",
                            "http://localhost:1/",
                            "http://a-b.c_d:65535",
                            "http://[::1]:8420",
                            "http://[2001:db8::10.0.0.1]:8420"}) {
        EXPECT_TRUE(parse_http_url(url).has_value()) << url;
    }
    for (const char* url : {"http://user@host:80", "http://good:80@evil:80",
                            "http://a b:80",       "http://a\r\nX-Y: z:80",
                            "http://a/b:80",       "http://a?b:80",
                            "http://a#b:80",       "http://a%41:80",
                            "http://::1:80",       "http://[]:80",
                            "http://[::1:80",      "http://[::1:::]:80",
                            "http://[v1.a]:80",    "http://]:842:80",
                            "http://\xc3\xa4:80",  "http://:80",
                            "http://a:0",          "http://a:65536",
                            "http://a:000080",     "https://a:80",
                            "http://127.1:80",     "http://127.0.0.27.0.0.11:80",
                            "http://2130706433:80"}) {
        EXPECT_FALSE(parse_http_url(url).has_value()) << url;
    }
    EXPECT_EQ(parse_host_port("[::1]:8420").value().host, "::1");
    const std::string with_zero = std::string("[::1") + '\0' + "]:80";
    EXPECT_FALSE(parse_host_port(with_zero).has_value());
}

}  // namespace
}  // namespace twofold::app
