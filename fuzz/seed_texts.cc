#include "fuzz/fake_resource.h"
#include "fuzz/seeds.h"
#include "participant/sqlite/redo.h"
#include "protocol/ids.h"

#include <initializer_list>

namespace twofold::fuzz {

namespace {

namespace sqlite = participant::sqlite;

void add_all(const SeedSink& sink,
             std::string_view target,
             std::initializer_list<std::string_view> texts) {
    int number = 0;
    for (std::string_view text : texts) {
        sink(target, std::to_string(++number), {text.begin(), text.end()});
    }
}

void seed_sql(const SeedSink& sink) {
    add_all(sink,
            "sql_screening",
            {"SELECT b, c FROM a WHERE b = :b AND c <> ':x' -- :y\n",
             "UPDATE account SET balance = balance - :amount WHERE id = :id",
             "INSERT INTO a VALUES (?1, ?2), (@x, $y)",
             "WITH x AS (SELECT 1) DELETE FROM t WHERE k IN (SELECT * FROM x);",
             "REPLACE INTO t VALUES ([k], `v`, \"w\") /* a /* b */",
             "SELECT E'it\\'s' || $q$ :a $q$ || 'a''b'::text;; SELECT 2",
             "/* a */ ( -- b\r\n SELECT 1 ) UNION VALUES (2)",
             "COMMIT AND CHAIN",
             "set /* x */ constraints all deferred",
             "SELECT 1; ROLLBACK",
             "EXPLAIN SELECT 1",
             "PRAGMA journal_mode = off"});
    add_all(sink,
            "branch_work",
            {(R"([{"sql":"UPDATE a SET b = ?1","params":[1,"x",null,1.5,{"base64":"AA=="}],)"
              R"("expect":{"rows":1}}])"),
             R"([{"statement":"debit","params":{"id":7,"amount":"12.50","note":null}}])",
             (R"([{"statement":"keep","params":{"b":{"base64":"AA=="},"j":{"x":[1]},)"
              R"("t":"2026-01-31T12:34:56.7+01:00","f":true}}])"),
             R"([{"sql":"SELECT :a","params":{"a":18446744073709551615}},{"sql":"COMMIT"}])",
             "[]"});
}

void seed_ids(const SeedSink& sink) {
    protocol::TxnId id = protocol::make_txn_id(
        {}, 1, 1, protocol::ParticipantNumber(2), base::KeyedHash(base::HashKey{}));
    std::string gid = protocol::make_gid({id, 1, 2}, FakeResource::uuid());
    add_all(sink,
            "ids",
            {id.text(),
             gid,
             FakeResource::uuid().text(),
             id.incarnation().text(),
             "postgresql:7312%3A:16384%25",
             "AA==",
             "\"a-key\"",
             "00ff"});
    add_all(sink,
            "urls",
            {"http://127.0.0.1:8420",
             "http://sidecar:8431/",
             "http://[::1]:8420",
             "[::1]:80",
             "127.0.0.1:8420",
             "/v1/transactions/a%20b?wait=1&b=%41",
             "http://h/a?b",
             "%2e%2E"});
}

void seed_configuration(const SeedSink& sink) {
    add_all(sink,
            "config_file",
            {("listen: 127.0.0.1:8420\ndata_dir: /tmp/x\nparticipants:\n"
              "  - {name: orders, url: http://127.0.0.1:8431}\n"
              "registration_allow: [127.0.0.1, 'b:1']\ndeadline_max: 2h\nkeys_max: 12\n"
              "log: {segment_size_bytes: 65536}\n"),
             ("name: orders\nlisten: '[::1]:8431'\ncoordinators: [http://127.0.0.1:8420]\n"
              "sqlite: {path: a.db, create: yes}\nraw_sql: true\nlock_timeout: 5s\n"
              "statements:\n  debit:\n    sql: 'UPDATE a SET b = :b'\n    params: {b: integer?}\n"
              "    expect_rows: 1\n"),
             "name: a\ncoordinators: [http://h:1]\npostgres: {dsn: host=x, witness: on}\n",
             "name: &a [*a]\n",
             "? {a: b}\n: c\n",
             "a: {b: {c: [1, 2, {d: e}]}}\n"});
    add_all(sink,
            "directory_file",
            {R"({"participants":[{"name":"a","url":"http://h:1",)"
             R"("uuid":"5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a"}]})",
             R"({"participants":[]})"});
}

void seed_answers(const SeedSink& sink) {
    add_all(
        sink,
        "client_answers",
        {(R"({"id":"x","state":"finished","outcome":"committed","version":3,"age_ms":5,)"
          R"("labels":{"a":"b"},)"
          R"("branches":[{"participant":"north","branch":1,"attempt":1,"state":"committed",)"
          R"("vote":"yes",)"
          R"("reason":{"code":"deadlock","message":"no"}}]})"),
         (R"({"type":"urn:twofold:problem:x","title":"t","status":409,)"
          R"("code":"transaction_aborted",)"
          R"("detail":"d","transaction_id":"x","reason":{"code":"c","message":"m"}})"),
         (R"({"transactions":[{"id":"x","state":"active",)"
          R"("branches":[{"branch":1,"state":"in_doubt"}]}]})"),
         R"({"participants":[{"name":"a","url":"http://h:1","state":"up","number":1,"epoch":2}]})",
         (R"({"summary":"s","waits_for":["a"],)"
          R"("branches":[{"branch":1,"participant":"a","why":"w"}]})"),
         ("# HELP x\ntwofold_transactions{state=\"active\"} 3\ntwofold_transactions 1e3\n"
          "twofold_build_info{version=\"1\"} 1\n")});
}

void seed_http(const SeedSink& sink) {
    using namespace std::string_view_literals;
    add_all(
        sink,
        "http_request",
        {"\3POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX-Y:  z \r\n\r\nhello"
         "GET / HTTP/1.0\r\n\r\n"sv,
         "\1POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4;a=b\r\nabcd\r\n0\r\n"
         "X: y\r\n\r\n"sv,
         "\7OPTIONS * HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n"sv,
         "\0GET http://h/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"sv});
    add_all(sink,
            "http_reply",
            {"\2\1HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
             "Transfer-Encoding: chunked\r\n\r\n4\r\na\nbc\r\n2\r\n\nd\r\n0\r\n\r\n"sv,
             "\0\3HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 409 Conflict\r\n"
             "Content-Type: application/problem+json\r\nContent-Length: 2\r\n\r\n{}"sv,
             "\4\5HTTP/1.1 200 OK\r\n\r\nuntil the end"sv,
             "\6\5HTTP/1.0 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\na\nb"sv});
}

void seed_redo(const SeedSink& sink) {
    using sqlite::Value;
    auto text = [](const char* value) { return Value{std::string(value)}; };
    sqlite::RedoTable account;
    account.name = "account";
    account.has_rowid = true;
    account.rowid_name = "rowid";
    account.columns = {"id", "balance", "note"};
    account.key_columns = {"id"};
    account.rows_before = 1;
    account.keys = {{{text("a")}, sqlite::ImageHash{}}, {{text("d")}, std::nullopt}};
    account.rows = {{Value{std::int64_t{1}}, text("a"), Value{std::int64_t{9}}, Value{}},
                    {Value{std::int64_t{9}}, text("d"), Value{0.25}, Value{base::Bytes{0, 255}}}};
    sqlite::RedoTable pair;
    pair.name = "pair";
    pair.columns = {"a", "b", "v"};
    pair.key_columns = {"a", "b"};
    pair.rows_before = 1;
    pair.keys = {{{Value{std::int64_t{1}}, text("x")}, sqlite::ImageHash{}}};
    sqlite::RedoTable entry;
    entry.name = "entry";
    entry.columns = {"n", "what"};
    entry.key_columns = {"n"};
    entry.keys = {{{Value{std::int64_t{5}}}, std::nullopt}};
    entry.rows = {{Value{std::int64_t{5}}, text("it's")}};
    sqlite::RedoSequence sequence{"entry", Value{std::int64_t{2}}, Value{std::int64_t{5}}};
    sink("sqlite_redo", "account", sqlite::encode_redo({{account}, {}}));
    sink("sqlite_redo", "pair", sqlite::encode_redo({{pair}, {}}));
    sink("sqlite_redo", "entry", sqlite::encode_redo({{entry}, {sequence}}));
    sink("sqlite_redo", "all", sqlite::encode_redo({{account, pair, entry}, {sequence}}));
}

}  // namespace

void seed_texts(const SeedSink& sink) {
    seed_sql(sink);
    seed_ids(sink);
    seed_configuration(sink);
    seed_answers(sink);
    seed_http(sink);
    seed_redo(sink);
}

}  // namespace twofold::fuzz
