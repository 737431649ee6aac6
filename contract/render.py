"""docs/api.md and docs/problems.md from the OpenAPI documents and the catalogue of problems."""

import json

import documents

SERVER_ANSWERS = ("408", "413", "415", "417", "431", "500", "501", "505")
PROBLEMS_INTRODUCTION = """# Problems

Made from `contract/problems.json` by `contract/check.py --write`; do not edit.

Every error of both servers is `application/problem+json` (RFC 9457):

```json
{"type": "urn:twofold:problem:no_room", "title": "The coordinator takes no new transactions for the moment",
 "status": 503, "detail": "the log has no room for new work", "code": "no_room", "retryable": true,
 "retry_after_seconds": 1}
```

Decide by `code`: it is stable, and so is `type`, which is a name (`urn:twofold:problem:` and the code) and no address,
so that it is the same on every machine; this page explains it. `title` belongs to the code, `detail` to the occurrence;
both are for people. `retryable` means that the same request may succeed later, unchanged. A repetition under the same
`Idempotency-Key` is always safe.""".split("\n")
TITLES = {"coordinator": "Coordinator", "participant": "Participant"}


def type_of(schema):
    """A schema in a few words, for a table."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "oneOf" in schema:
        return " or ".join(type_of(choice) for choice in schema["oneOf"])
    if isinstance(schema["type"], list):
        return " or ".join(schema["type"])
    if schema["type"] == "array":
        return f"list of {type_of(schema['items'])}" + limits(schema, "Items")
    if schema["type"] == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {type_of(schema['additionalProperties'])}"
    return schema["type"] + limits(schema, "Length" if schema["type"] == "string" else "imum")


def limits(schema, suffix):
    """The limits of a number, text or list: " 1…64"."""
    low, high = schema.get("min" + suffix), schema.get("max" + suffix)
    if low is None and high is None:
        return ""
    return f" {'' if low is None else low}…{'' if high is None else high}"


def cell(text):
    """Text of a table's cell."""
    return text.replace("|", "\\|").replace("\n", " ")


def members(schema):
    """The rows of an object's members."""
    lines = ["| member | | type | meaning |", "| --- | --- | --- | --- |"]
    for name, value in schema["properties"].items():
        needed = "required" if name in schema.get("required", []) else ""
        default = f" Default: `{json.dumps(value['default'])}`." if "default" in value else ""
        meaning = cell(value.get("description", "")) + default
        lines.append(f"| `{name}` | {needed} | {cell(type_of(value))} | {meaning} |")
    return lines


def content_of(response):
    """The type of an answer's body, for a table."""
    for media, content in response.get("content", {}).items():
        if media == "application/problem+json":
            codes = content["schema"]["properties"]["code"]["enum"]
            return ", ".join(f"[`{code}`](problems.md#{code})" for code in codes)
        return type_of(content["schema"]) if "$ref" in content["schema"] else media
    return ""


def operation(document, path, method, described):
    """One operation as lines."""
    summary = described["summary"] + ("" if described["summary"].endswith("?") else ".")
    lines = [f"### {method.upper()} {path}", "", f"{summary} {described['description']}", ""]
    parameters = [documents.resolve(document, one) for one in described.get("parameters", [])]
    if parameters:
        lines += ["| parameter | in | type | meaning |", "| --- | --- | --- | --- |"]
        for one in parameters:
            meaning = cell(one.get("description", ""))
            lines.append(f"| `{one['name']}` | {one['in']} | {cell(type_of(one['schema']))} | {meaning} |")
        lines.append("")
    if "requestBody" in described:
        media = described["requestBody"]["content"]["application/json"]
        optional = "" if described["requestBody"].get("required") else " (may be left out)"
        lines += [f"Body: {type_of(media['schema'])}{optional}.", ""]
        for example in media["examples"].values():
            lines += [example["summary"] + ":", "", "```json", documents.written(example["value"]), "```", ""]
    lines += ["| answer | body or codes | meaning |", "| --- | --- | --- |"]
    for status, reference in described["responses"].items():
        if status in SERVER_ANSWERS:
            continue
        response = documents.resolve(document, reference)
        headers = "".join(f" `{name}`." for name in response.get("headers", {}))
        lines.append(f"| {status} | {content_of(response)} | {cell(response['description'])}"
                     f"{' Fields:' + headers if headers else ''} |")
    return lines + [""]


def schemas(document):
    """All schemas as lines."""
    lines = []
    for name, schema in document["components"]["schemas"].items():
        lines += [f"#### {name}", ""]
        if "description" in schema:
            lines += [schema["description"], ""]
        parts = [documents.resolve(document, part) for part in schema.get("allOf", [])]
        everything = {"properties": {}, "required": []}
        for part in [*parts, schema]:
            everything["properties"].update(part.get("properties", {}))
            everything["required"] += part.get("required", [])
        if everything["properties"]:
            lines += [*members(everything), ""]
        elif name == "ProblemCode":
            lines += ["See [problems.md](problems.md).", ""]
        elif "pattern" in schema:
            lines += [f"Text: `{schema['pattern']}`", ""]
        elif not parts:
            lines += [type_of(schema) if "properties" not in schema else "No members.", ""]
    return lines


def api(all_documents):
    """docs/api.md."""
    lines = ["# The interfaces", "", "Made from `contract/*.openapi.json` by `contract/check.py --write`; do not edit. "
             "Every server gives its document at `/openapi.json`, and `make contract` tests the programs against both.",
             ""]
    for name, document in all_documents.items():
        lines += [f"## {TITLES[name]}", "", document["info"]["description"], "",
                  f"Default address: `{document['servers'][0]['url']}`.", "",
                  "Every operation can also be answered by the server itself: "
                  + ", ".join(f"{status} {content_of(documents.resolve(document, reference))}"
                              for status, reference in next(documents.operations(document))[2]["responses"].items()
                              if status in SERVER_ANSWERS) + ".", ""]
        for path, method, described in documents.operations(document):
            lines += operation(document, path, method, described)
        lines += [f"### Schemas of the {name}", "", *schemas(document)]
    return "\n".join(lines).rstrip("\n") + "\n"


def problems(catalogue):
    """docs/problems.md."""
    lines = [*PROBLEMS_INTRODUCTION, "", "| code | status | retryable | from |", "| --- | --- | --- | --- |"]
    rows = sorted(catalogue["problems"], key=lambda problem: (problem["status"], problem["code"]))
    for one in rows:
        retryable = {True: "yes", False: "no"}.get(one["retryable"], one["retryable"])
        link, servers = f"[`{one['code']}`](#{one['code']})", ", ".join(one["servers"])
        lines.append(f"| {link} | {one['status']} | {retryable} | {servers} |")
    for one in rows:
        lines += ["", f"## {one['code']}", "", f"{one['status']}: {one['title']}.", "", one["meaning"], "",
                  f"*What to do:* {one['action']}"]
    return "\n".join(lines) + "\n"
