#!/usr/bin/env python3
"""Every difference that check.py looks for is planted once and must be reported; without one nothing is."""

import copy
import pathlib
import shutil
import tempfile
import unittest

import check
import documents

SOURCES = ("CMakeLists.txt", "app", "coordinator", "http", "participant", "protocol")


def code_lists(part):
    """Every list of problem codes that an answer may carry, wherever the document says it."""
    if isinstance(part, dict):
        code = part.get("code")
        if isinstance(code, dict) and "enum" in code:
            yield code["enum"]
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from code_lists(inner)


class CheckTest(unittest.TestCase):
    """A copy of the sources in a temporary folder, and of the documents in memory."""

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        for name in SOURCES:
            source = documents.ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, cls.folder / name)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def setUp(self):
        self.documents = {name: documents.load(path) for name, path in documents.DOCUMENTS.items()}
        self.catalogue = documents.load(documents.CATALOGUE)

    def complaints(self):
        """What check.py says now."""
        return "\n".join(check.check_all(self.folder, self.documents, self.catalogue))

    def planted(self, relative, text):
        """Appends text to a source file until the test is over."""
        path = self.folder / relative
        before = path.read_text(encoding="utf-8")
        path.write_text(before + text, encoding="utf-8")
        self.addCleanup(path.write_text, before, encoding="utf-8")

    def test_nothing_is_planted(self):
        self.assertEqual(self.complaints(), "")

    def test_a_code_that_only_the_sources_have(self):
        self.planted("coordinator/problems.h", 'constexpr ProblemCode kNew{"brand_new", 409, "New", false};')
        self.assertIn("problems.json: brand_new is missing", self.complaints())

    def test_a_code_in_a_comment_does_not_count(self):
        self.planted("coordinator/problems.h", '//  constexpr ProblemCode kNew{"brand_new", 409, "New", false};')
        self.assertEqual(self.complaints(), "")

    def test_a_code_that_no_source_has(self):
        self.catalogue["problems"].append({**self.catalogue["problems"][0], "code": "old"})
        self.assertIn("no source has old", self.complaints())

    def test_a_code_that_is_defined_twice(self):
        self.planted("participant/api.cc", 'constexpr ProblemCode kBad{"bad_request", 422, "Bad", false};')
        self.assertIn("bad_request is defined differently", self.complaints())

    def test_another_status_title_or_retryable(self):
        for member, value in (("status", 418), ("title", "No"), ("retryable", "never")):
            problem = self.catalogue["problems"][0]
            before = problem[member]
            problem[member] = value
            self.assertIn(problem["code"], self.complaints())
            problem[member] = before

    def test_a_code_that_no_operation_answers(self):
        document = self.documents["coordinator"]
        for codes in code_lists([document["paths"], document["components"]["responses"]]):
            if "recovering" in codes:
                codes.remove("recovering")
        self.assertIn("no operation answers recovering", self.complaints())

    def test_a_code_with_another_status(self):
        not_found = self.documents["coordinator"]["components"]["responses"]["NotFound"]
        not_found["content"]["application/problem+json"]["schema"]["properties"]["code"]["enum"].append("no_room")
        self.assertIn("no_room is answered with [404, 503]", self.complaints())

    def test_a_code_that_the_document_does_not_list(self):
        self.documents["participant"]["components"]["schemas"]["ProblemCode"]["enum"].remove("not_ready")
        self.assertIn("participant: not_ready is only in the catalogue", self.complaints())

    def test_a_route_that_no_document_has(self):
        self.planted("participant/api.cc", '// router.add(Method::get, "/v1/surplus", …)')
        self.assertIn("no document has GET /v1/surplus", self.complaints())

    def test_an_operation_that_no_source_has(self):
        paths = self.documents["coordinator"]["paths"]
        paths["/v1/surplus"] = copy.deepcopy(paths["/livez"])
        self.assertIn("no source adds a route for GET /v1/surplus", self.complaints())

    def test_a_reason_that_one_side_has(self):
        reason = self.documents["coordinator"]["components"]["schemas"]["Reason"]
        reason["properties"]["code"]["x-extensible-enum"].remove("deadlock")
        self.assertIn("the reason deadlock is only in protocol/messages.h", self.complaints())

    def test_a_schema_that_differs(self):
        self.documents["participant"]["components"]["schemas"]["TxnId"]["pattern"] = "^x$"
        self.assertIn("TxnId differs", self.complaints())

    def test_another_version(self):
        self.documents["participant"]["info"]["version"] = "9"
        self.assertIn("participant: the version is 9", self.complaints())


if __name__ == "__main__":
    unittest.main()
