#!/usr/bin/env python3
"""What must agree between the OpenAPI documents, the catalogue of problems, the C++ sources and docs/.

    contract/check.py            report, and exit 1 when something differs
    contract/check.py --write    bring the documents into their written form and make docs/api.md and docs/problems.md

contract/check_test.py plants every kind of difference and sees it reported.
"""

import pathlib
import re
import sys

import documents
import render


def code_rows(folder):
    """{code: (status, title, retryable)} of the sources, and complaints about codes that are defined differently."""
    rows, complaints = {}, []
    for code, *row, path in documents.codes_in_the_code(folder):
        if rows.setdefault(code, tuple(row)) != tuple(row):
            complaints.append(f"{path}: {code} is defined differently elsewhere")
    return rows, complaints


def check_catalogue(rows, catalogue):
    """The catalogue and the sources know the same problems."""
    complaints = []
    known = {problem["code"]: problem for problem in catalogue["problems"]}
    for code in sorted(rows.keys() - known.keys()):
        complaints.append(f"contract/problems.json: {code} is missing")
    for code in sorted(known.keys() - rows.keys()):
        complaints.append(f"contract/problems.json: no source has {code}")
    for code in sorted(rows.keys() & known.keys()):
        status, title, retryable = rows[code]
        problem = known[code]
        if (problem["status"], problem["title"]) != (status, title):
            complaints.append(f"contract/problems.json: {code} is {status} \"{title}\" in the sources")
        if problem["retryable"] not in (retryable, "depends"):
            complaints.append(f"contract/problems.json: {code} is retryable: {retryable} in the sources")
        for member in ("meaning", "action"):
            if not problem[member].endswith("."):
                complaints.append(f"contract/problems.json: {code} has no sentence as its {member}")
    return complaints


def answered_codes(document):
    """{code: statuses} of all problem responses of a document."""
    found = {}
    responses = [response for _, _, operation in documents.operations(document)
                 for response in operation["responses"].items()]
    responses += [("404", document["components"]["responses"]["NoSuchRoute"]),
                  ("405", document["components"]["responses"]["MethodNotAllowed"])]
    for status, response in responses:
        for code in documents.problem_codes(document, response):
            found.setdefault(code, set()).add(int(status))
    return found


def check_codes(name, document, catalogue):
    """Every problem of a server is in its document, at an operation that answers it, with its status."""
    complaints = []
    mine = {problem["code"]: problem["status"] for problem in catalogue["problems"] if name in problem["servers"]}
    listed = set(document["components"]["schemas"]["ProblemCode"]["enum"])
    answered = answered_codes(document)
    for code in sorted(mine.keys() ^ listed):
        complaints.append(f"{name}: {code} is only in {'the catalogue' if code in mine else 'ProblemCode'}")
    reserved = {problem["code"] for problem in catalogue["problems"] if problem.get("reserved")}
    for code in sorted(mine.keys() - answered.keys() - reserved):
        complaints.append(f"{name}: no operation answers {code}")
    for code in sorted(answered.keys() & reserved):
        complaints.append(f"{name}: {code} is answered, but the catalogue says that it is reserved")
    for code, statuses in sorted(answered.items()):
        if statuses != {mine.get(code)}:
            complaints.append(f"{name}: {code} is answered with {sorted(statuses)}, its status is {mine.get(code)}")
    return complaints


def routes_in_the_code(folder):
    """{(method, path)} of the routes that the sources add."""
    route = re.compile(r'Method::(\w+),\s*"(/[^"]*)"')
    interactive = re.compile(r'\broute\("(/[^"]*)"')  # coordinator/interactive_api.cc: all are POST
    found = set()
    for path in [*folder.glob("coordinator/*.cc"), *folder.glob("participant/*.cc"), *folder.glob("app/*.cc")]:
        text = path.read_text(encoding="utf-8")
        if not path.name.endswith("_test.cc") and "client" not in path.name:
            found |= {(method.rstrip("_"), pattern) for method, pattern in route.findall(text)}
            found |= {("post", pattern) for pattern in interactive.findall(text)}
    return found


def check_routes(folder, all_documents):
    """Every route is an operation of a document, and the reverse."""
    added = routes_in_the_code(folder)
    described = {(method, path) for document in all_documents.values()
                 for path, method, _ in documents.operations(document)}
    complaints = [f"no document has {method.upper()} {path}" for method, path in sorted(added - described)]
    return complaints + [f"no source adds a route for {method.upper()} {path}"
                         for method, path in sorted(described - added)]


def check_reasons(folder, all_documents):
    """The codes of reasons are those of protocol/messages.h."""
    text = (folder / "protocol" / "messages.h").read_text(encoding="utf-8")
    body = text[text.index("namespace reason {"):text.index("}  // namespace reason")]
    codes = sorted(re.findall(r'=\s*"(\w+)"', body))
    complaints = []
    for name, document in all_documents.items():
        listed = document["components"]["schemas"]["Reason"]["properties"]["code"]["x-extensible-enum"]
        for code in sorted(set(codes) ^ set(listed)):
            where = "protocol/messages.h" if code in codes else "the document"
            complaints.append(f"{name}: the reason {code} is only in {where}")
    return complaints


def check_shared(all_documents):
    """A schema of the same name is the same in both documents, but for the codes of problems."""
    one, other = (document["components"]["schemas"] for document in all_documents.values())
    return [f"the schema {name} differs between the documents" for name in sorted(one.keys() & other.keys())
            if name != "ProblemCode" and one[name] != other[name]]


def check_version(folder, all_documents):
    """The documents have the version of the project."""
    version = re.search(r"project\(twofold VERSION ([\d.]+)", (folder / "CMakeLists.txt").read_text()).group(1)
    return [f"{name}: the version is {document['info']['version']}, the project's is {version}"
            for name, document in all_documents.items() if document["info"]["version"] != version]


def check_all(folder, all_documents, catalogue):
    """All complaints but those about files that --write makes."""
    rows, complaints = code_rows(folder)
    complaints += check_catalogue(rows, catalogue)
    for name, document in all_documents.items():
        complaints += check_codes(name, document, catalogue)
    complaints += check_routes(folder, all_documents)
    complaints += check_reasons(folder, all_documents)
    complaints += check_shared(all_documents)
    complaints += check_version(folder, all_documents)
    return complaints


def main():
    """Exit code 1 when something differs."""
    all_documents = {name: documents.load(path) for name, path in documents.DOCUMENTS.items()}
    catalogue = documents.load(documents.CATALOGUE)
    made = {path: documents.written(all_documents[name]) + "\n" for name, path in documents.DOCUMENTS.items()}
    made[documents.CATALOGUE] = documents.written(catalogue) + "\n"
    made[documents.ROOT / "docs" / "api.md"] = render.api(all_documents)
    made[documents.ROOT / "docs" / "problems.md"] = render.problems(catalogue)
    complaints = check_all(documents.ROOT, all_documents, catalogue)
    for path, text in made.items():
        if "--write" in sys.argv[1:]:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            relative = pathlib.Path(path).relative_to(documents.ROOT)
            complaints.append(f"{relative} is not up to date: python3 contract/check.py --write")
    for complaint in complaints:
        print(f"contract: {complaint}")
    print(f"contract: {sum(1 for d in all_documents.values() for _ in documents.operations(d))} operations, "
          f"{len(catalogue['problems'])} problems, {len(complaints)} differences")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
