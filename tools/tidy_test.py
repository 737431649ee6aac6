#!/usr/bin/env python3
"""Plants every violation that tools/tidy.py knows in a temporary tree and sees it caught."""

import pathlib
import tempfile
import textwrap
import unittest

import tidy

HEADER = "// A header.\n#pragma once\n"


def violations(name, text):
    """What the checker says about a tree that holds only this file."""
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return tidy.check_tree(pathlib.Path(directory))[0]


def function_lines(text):
    """The lengths of the functions that are found in a piece of C++."""
    return [last - first + 1 for first, last in tidy.functions(textwrap.dedent(text))]


class TidyTestCase(unittest.TestCase):
    def assert_clean(self, name, text):
        self.assertEqual(violations(name, text), [], f"{name}: {text}")

    def assert_caught(self, name, text, what):
        found = violations(name, text)
        self.assertEqual(len(found), 1, f"{name}: {text}: {found}")
        self.assertIn(what, found[0])
        self.assertTrue(found[0].startswith(f"{name}:"), found[0])


class Includes(TidyTestCase):
    def test_the_dependency_graph_allows(self):
        for name, included in [
            ("base/log.cc", "base/log.h"),
            ("async/spawn.cc", "base/log.h"),
            ("wal/writer.cc", "wal/core/frame.h"),
            ("coordinator/driver.cc", "http/router.h"),
            ("participant/driver.cc", "participant/sqlite/store.h"),
            ("recovery/core/decide.cc", "coordinator/core/state.h"),
            ("recovery/recover.cc", "wal/reader.h"),
            ("sim/world.cc", "recovery/recover.h"),
            ("app/main.cc", "participant/driver.h"),
            ("integration/demo.cc", "http/client.h"),
            ("bench/load.cc", "sim/world.h"),
            ("coordinator/driver_test.cc", "coordinator/core/machine.h"),
            ("wal/core/frame_test.cc", "wal/writer.h"),
            ("bench/load.cc", "app/options.h"),
        ]:
            self.assert_clean(name, f'#include "{included}"\n')

    def test_the_dependency_graph_refuses(self):
        for name, included in [
            ("base/log.cc", "async/spawn.h"),
            ("protocol/ids.cc", "wal/file.h"),
            ("wal/core/frame.cc", "wal/file.h"),
            ("wal/writer.cc", "async/spawn.h"),
            ("http/server.cc", "protocol/ids.h"),
            ("coordinator/core/machine.cc", "coordinator/driver.h"),
            ("coordinator/driver.cc", "wal/writer.h"),
            ("coordinator/driver.cc", "http/server.h"),
            ("participant/sqlite/store.cc", "async/spawn.h"),
            ("participant/driver.cc", "coordinator/driver.h"),
            ("recovery/recover.cc", "http/client.h"),
            ("sim/world.cc", "http/client.h"),
            ("sim/world.cc", "coordinator/driver.h"),
            ("app/main.cc", "sim/world.h"),
            ("app/main.cc", "integration/harness.h"),
            ("integration/demo.cc", "coordinator/core/machine.h"),
            ("async/spawn_test.cc", "protocol/ids.h"),
        ]:
            self.assert_caught(name, f'#include "{included}"\n', f'"{included}" may not be included')

    def test_a_path_without_its_folder_is_refused(self):
        self.assert_caught("base/log.cc", '#include "log.h"\n', "may not be included")

    def test_commented_includes_do_not_count(self):
        self.assert_clean("base/log.cc", '// #include "async/spawn.h"\n')

    def test_heavy_headers(self):
        for name, included in [
            ("async/deadline.h", "boost/asio.hpp"),
            ("http/server.cc", "boost/beast.hpp"),
            ("http/server.h", "boost/beast/http.hpp"),
            ("coordinator/api.cc", "boost/beast/http.hpp"),
            ("participant/postgres_resource.h", "libpq-fe.h"),
            ("participant/driver.cc", "libpq-fe.h"),
            ("app/main.cc", "libpq-fe.h"),
            ("participant/sqlite/store.h", "sqlite3.h"),
            ("participant/driver.cc", "sqlite3.h"),
            ("app/options.h", "CLI/CLI.hpp"),
            ("app/options.h", "yaml-cpp/yaml.h"),
            ("app/logging.h", "spdlog/spdlog.h"),
            ("app/metrics.h", "prometheus/registry.h"),
            ("http/server.h", "boost/asio/steady_timer.hpp"),
        ]:
            begin = HEADER if name.endswith(".h") else ""
            self.assert_caught(name, f"{begin}#include <{included}>\n", f"<{included}>")

    def test_heavy_headers_in_their_place(self):
        for name, included in [
            ("http/server.cc", "boost/beast/http.hpp"),
            ("participant/postgres_resource.cc", "libpq-fe.h"),
            ("integration/harness.cc", "libpq-fe.h"),
            ("bench/floor_client.cc", "libpq-fe.h"),
            ("participant/sqlite/store.cc", "sqlite3.h"),
            ("app/options.cc", "CLI/CLI.hpp"),
            ("app/config.cc", "yaml-cpp/yaml.h"),
            ("protocol/json.cc", "boost/json.hpp"),
        ]:
            self.assert_clean(name, f"#include <{included}>\n")
        self.assert_clean("http/server.h", HEADER + "#include <boost/asio/awaitable.hpp>\n")
        self.assert_clean("async/deadline.h", HEADER + "#include <boost/asio/steady_timer.hpp>\n")


class Cores(TidyTestCase):
    def test_includes(self):
        for included in ["thread", "mutex", "random", "unordered_map", "unordered_set", "boost/asio/post.hpp"]:
            self.assert_caught("coordinator/core/machine.cc", f"#include <{included}>\n", "may not be used")
        self.assert_caught("participant/sqlite/store.cc", "#include <boost/asio/post.hpp>\n", "may not be used")
        self.assert_caught("sim/net.cc", "#include <sys/socket.h>\n", "may not be used")

    def test_tokens(self):
        now = "auto t = std::chrono::steady_clock::now();\n"
        self.assert_caught("wal/core/frame.cc", now, "may not be used")
        self.assert_caught("sim/net.cc", now, "may not be used")
        self.assert_caught("recovery/core/fold.cc", "std::unordered_map<int, int> m;\n", "may not be used")
        self.assert_clean("wal/core/frame.cc", "// " + now)
        self.assert_clean("wal/core/frame.cc", "#include <chrono>\n#include <map>\n")
        self.assert_clean("wal/writer.cc", now)


class Headers(TidyTestCase):
    def test_pragma_once(self):
        self.assert_caught("base/x.h", "// A header.\n", "#pragma once")

    def test_comment(self):
        self.assert_caught("base/x.h", "#pragma once\n", "begins with a comment")
        self.assert_clean("base/x.h", HEADER)


class Lines(TidyTestCase):
    def test_columns(self):
        self.assert_caught("base/x.cc", "//" + "x" * 99 + "\n", "101 columns")
        self.assert_clean("base/x.cc", "//" + "ü" * 98 + "\n")
        self.assert_clean("base/x.cc", "// https://example.org/" + "x" * 99 + "\n")

    def test_tabs(self):
        self.assert_caught("base/x.cc", "\tint x;\n", "tab")
        self.assert_clean("Makefile", "all:\n\ttrue\n")

    def test_words(self):
        for line in ["TOD" + "O: later", "FIXM" + "E", "../share" + "d/x", "/wor" + "k/main", "/hom" + "e/someone",
                     "Autho" + "r: someone", "Signed-of" + "f-by: someone", "// NOLIN" + "T"]:
            self.assert_caught("docs/x.md", line + "\n", "docs/x.md:1: '")
        self.assert_clean("docs/x.md", "TOD" + "O(#12): later\nhttps://example.org/wor" + "k/x\n")
        self.assert_clean("base/x.cc", "int x;  // NOLIN" + "T(bugprone-x): the reason\n")


class Lengths(TidyTestCase):
    def test_files(self):
        self.assert_caught("base/x.cc", "int x;\n" * 601, "file of 601 lines")
        self.assert_clean("base/x.cc", "int x;\n" * 600)
        self.assert_clean("docs/x.md", "text\n" * 700)

    def test_functions(self):
        self.assert_caught("base/x.cc", "void f() {\n" + "    g();\n" * 69 + "}\n", "function of 71 lines")
        self.assert_clean("base/x.cc", "void f() {\n" + "    g();\n" * 68 + "}\n")

    def test_methods_in_classes_and_namespaces(self):
        self.assertEqual(function_lines("""\
            namespace a::b {
            template <class T>
            class [[nodiscard]] X : public Y<T> {
            public:
                X(int a, std::vector<int> b = {})
                    : a_{a},
                      b_(std::move(b)) {
                    f();
                }
                bool operator<(const X& other) const { return a_ < other.a_; }
                auto operator()(int x = g(h(1))) const -> std::vector<int> {
                    return {x};
                }
            private:
                int a_{0};
                std::function<void(int)> b_{nullptr};
            };
            }  // namespace a::b
            """), [5, 1, 3])

    def test_what_is_no_function(self):
        self.assertEqual(function_lines("""\
            enum class E { a, b };
            constexpr int kTable[] = {
                1, 2,
            };
            struct S { int x = 1; E e{E::a}; };
            extern "C" { struct C; }
            #define LOOP(x) do { \\
                x; \\
            } while (0)
            """), [])

    def test_lambdas_in_constants(self):
        self.assertEqual(function_lines("""\
            const auto table = [](int x) {
                return x;
            }(3);
            """), [3])

    def test_braces_in_text_do_not_count(self):
        self.assertEqual(function_lines("""\
            void f() {
                g("}", '}', R"x(}})x", 1'000'000);  // }
                /* } */
            }
            int h() { return 1; }
            """), [4, 1])

    def test_only_the_first_branch_of_a_conditional_counts(self):
        self.assertEqual(function_lines("""\
            #ifdef A
            void f(int a) {
            #else
            void f() {
            #endif
                g();
            }
            int h() { return 1; }
            """), [6, 1])

    def test_tests(self):
        self.assertEqual(function_lines("""\
            TEST(Suite, name) {
                EXPECT_EQ(1, 1);
            }
            """), [3])


if __name__ == "__main__":
    unittest.main()
