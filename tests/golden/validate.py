#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds NDJSON against a JSON Schema with an independent validator (Debian: python3-jsonschema).

validate.py check SCHEMA [NDJSON]           every line is valid
validate.py mutate SCHEMA STRICT [NDJSON]   every line is valid for both, and no mutant survives: each required field dropped or
                                            retyped is refused by SCHEMA, an unknown field by STRICT, at every depth

NDJSON: a file, or - (the default) for stdin. Exit code: 0, or 1 with what is wrong on stderr.
"""
import copy
import json
import sys

import jsonschema

WRONG = {"string": 12345, "integer": "text", "number": "text", "boolean": "text", "array": "text", "object": "text"}


def records(path):
    stream = sys.stdin.buffer if path == "-" else open(path, "rb")
    with stream:
        for number, line in enumerate(stream, 1):
            # Strict UTF-8: bytes that are none must not reach a reader.
            yield number, json.loads(line.decode("utf-8"))


def validator(path):
    with open(path, encoding="utf-8") as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def wrong_type(schema):
    """A value that a property of this schema must refuse."""
    if "anyOf" in schema:
        return [[]]  # nullable: neither null nor a scalar nor an object
    if "type" in schema and isinstance(schema["type"], str):
        return WRONG[schema["type"]]
    return 12345  # $ref to an object, enum of strings


def objects(root, schema, value, path=()):
    """Each (name of definition, path, schema) of an object in `value` whose fields the schema lists."""
    for branch in schema.get("anyOf", []):
        if value is not None:
            yield from objects(root, branch, value, path)
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        target = root["$defs"][name]
        yield name, path, target
        for key, part in target["properties"].items():
            if key in value:
                yield from objects(root, part, value[key], path + (key,))
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            yield from objects(root, schema["items"], item, path + (index,))
    elif isinstance(value, dict) and isinstance(schema.get("additionalProperties"), dict):
        for key, item in value.items():
            yield from objects(root, schema["additionalProperties"], item, path + (key,))


def at(value, path):
    for step in path:
        value = value[step]
    return value


def mutants(root, record):
    """(what was done, the mutant, whether only the strict schema can refuse it)"""
    start = {"$ref": "#/$defs/" + record["type"]}
    for name, path, schema in objects(root, start, record):
        for key in schema["required"]:
            dropped = copy.deepcopy(record)
            del at(dropped, path)[key]
            yield "dropped", f"{name}.{key}", dropped, False
        for key, part in schema["properties"].items():
            if key not in at(record, path):
                continue
            retyped = copy.deepcopy(record)
            at(retyped, path)[key] = wrong_type(part)
            yield "retyped", f"{name}.{key}", retyped, False
        unknown = copy.deepcopy(record)
        at(unknown, path)["surplus"] = 1
        yield "unknown", f"{name}.surplus", unknown, True


def check(schema, lines):
    failures = 0
    count = 0
    for number, record in lines:
        count += 1
        for error in schema.iter_errors(record):
            failures += 1
            print(f"line {number} ({record.get('type')}): {error.json_path}: {error.message[:300]}", file=sys.stderr)
    print(f"{count} records, {failures} errors")
    # Nothing read is nothing shown.
    return count > 0 and failures == 0


def mutate(schema, strict, lines):
    killed = {"dropped": 0, "retyped": 0, "unknown": 0}
    survivors = 0
    seen = set()
    lines = list(lines)
    good = check(schema, lines) and check(strict, lines)
    for _, record in lines:
        seen.update(name for name, _, _ in objects(schema.schema, {"$ref": "#/$defs/" + record["type"]}, record))
        for kind, what, mutant, only_strict in mutants(schema.schema, record):
            if only_strict and not schema.is_valid(mutant):
                survivors += 1
                print(f"{kind} {what}: the published schema refuses an unknown field", file=sys.stderr)
            if (strict if only_strict else schema).is_valid(mutant):
                survivors += 1
                print(f"{kind} {what}: survived", file=sys.stderr)
            else:
                killed[kind] += 1
    missing = sorted(set(schema.schema["$defs"]) - seen)
    if missing:
        print(f"no sample of: {', '.join(missing)}", file=sys.stderr)
    print(f"{len(seen)} definitions, mutants refused: {killed}, survived: {survivors}")
    return good and survivors == 0 and not missing


def main(arguments):
    if len(arguments) in (2, 3) and arguments[0] == "check":
        return check(validator(arguments[1]), records((arguments + ["-"])[2]))
    if len(arguments) in (3, 4) and arguments[0] == "mutate":
        return mutate(validator(arguments[1]), validator(arguments[2]), records((arguments + ["-"])[3]))
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
