"""Templates as people write them: read into contents, with everything named that is wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from domain.errors import Invalid
from domain.templates.content import Example, Label, TemplateContent
from domain.values import flaw

PLACEHOLDERS = ("text", "labels", "examples")

MOST_LABELS = 1_000
MOST_EXAMPLES = 2_000
NAME_LENGTH = 200
DESCRIPTION_LENGTH = 2_000
TEXT_LENGTH = 20_000
PROMPT_LENGTH = 50_000
"""In characters."""
MOST_BYTES = 1_000_000
"""Of the canonical form."""
SCHEMA_BYTES = 20_000
SCHEMA_DEPTH = 12

NO_MODULES = (
    "a schema_module is refused: it would have the server import code that a client names;"
    " give answer_schema, a JSON schema of the answer"
)

_PLACEHOLDER = re.compile(r"\{\{\s*\w+\s*\}\}|\{([A-Za-z_]\w*)\}")


class _Label(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    description: str | None = None


class _Example(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    label: str
    reasoning: str | None = None
    query_id: int | None = None


class _Template(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    labels: list[str | _Label]
    description: str | None = None
    examples: list[_Example] | None = None
    prompt: str | None = None
    answer_schema: dict[str, Any] | None = None


Fault = tuple[str, str]
"""A JSON pointer, and what is wrong there."""


def read_content(fields: Mapping[str, Any]) -> TemplateContent:
    """The content that these fields describe: labels as names or `{name, description}`.

    Raises Invalid with a `pointer` and a `detail` for each thing that is wrong.
    """
    if fields.get("schema_module") is not None:
        raise refusal([("/schema_module", NO_MODULES)])
    if found := flaw("the template", fields):
        raise Invalid(found)
    try:
        given = msgspec.convert({k: v for k, v in fields.items() if k != "schema_module"}, _Template)
    except msgspec.ValidationError as error:
        raise refusal([_located(str(error))]) from error
    return checked(
        TemplateContent(
            name=given.name,
            labels=tuple(_label(one) for one in given.labels),
            description=given.description or None,
            examples=tuple(_example(one) for one in given.examples or ()),
            prompt=given.prompt or None,
            answer_schema=given.answer_schema or None,
        )
    )


def _label(given: str | _Label) -> Label:
    return Label(given) if isinstance(given, str) else Label(given.name, given.description or "")


def _example(given: _Example) -> Example:
    return Example(given.text, given.label, given.reasoning or None, given.query_id)


def _located(message: str) -> Fault:
    """`Expected `str`, got `int` - at `$.labels[0]`` as a pointer and words."""
    words, _, path = message.partition(" - at `$")
    unknown = re.search("unknown field `(.*)`", words)
    pointer = re.sub(r"[.\[]", "/", path.rstrip("`").replace("]", ""))
    return (f"{pointer}/{unknown[1]}", "there is no such field") if unknown else (pointer, words)


def refusal(faults: list[Fault]) -> Invalid:
    """One error for all that is wrong; its words are those of the first."""
    pointer, words = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    where = pointer.removeprefix("/") or "the template"
    return Invalid(f"{where}: {words}{more}", [{"pointer": p, "detail": d} for p, d in faults[:100]])


def checked(content: TemplateContent) -> TemplateContent:
    """The content itself, or Invalid."""
    if faults := [*_faults(content)]:
        raise refusal(faults)
    if (size := len(content.body)) > MOST_BYTES:
        raise refusal([("", f"it has {size:,} bytes; {MOST_BYTES:,} are allowed")])
    return content


def _faults(content: TemplateContent) -> Iterator[Fault]:
    yield from _name_faults("/name", content.name)
    yield from _too_long("/description", content.description, DESCRIPTION_LENGTH)
    yield from _label_faults(content)
    yield from _example_faults(content)
    yield from _prompt_faults(content.prompt)
    if content.answer_schema is not None:
        yield from _schema_faults(content.answer_schema)


def _name_faults(pointer: str, name: str) -> Iterator[Fault]:
    if not name.strip():
        yield pointer, "it must not be empty"
    elif name != name.strip() or not name.isprintable():
        yield pointer, f"{name!r}: one line, without spaces around it"
    yield from _too_long(pointer, name, NAME_LENGTH)


def _too_long(pointer: str, text: str | None, most: int) -> Iterator[Fault]:
    if text is not None and len(text) > most:
        yield pointer, f"it has {len(text):,} characters; {most:,} are allowed"


def _label_faults(content: TemplateContent) -> Iterator[Fault]:
    if not 0 < len(content.labels) <= MOST_LABELS:
        yield "/labels", f"there are {len(content.labels):,}; 1 to {MOST_LABELS:,} are allowed"
    seen: dict[str, str] = {}
    for index, label in enumerate(content.labels):
        yield from _name_faults(f"/labels/{index}", label.name)
        yield from _too_long(f"/labels/{index}/description", label.description, DESCRIPTION_LENGTH)
        before = seen.get(label.name.casefold())
        if before is not None:
            same = "stands there twice" if before == label.name else f"cannot be told from {before!r}"
            yield f"/labels/{index}", f"label {label.name!r} {same}"
        seen[label.name.casefold()] = label.name


def _example_faults(content: TemplateContent) -> Iterator[Fault]:
    if len(content.examples) > MOST_EXAMPLES:
        yield "/examples", f"there are {len(content.examples):,}; {MOST_EXAMPLES:,} are allowed"
    known = set(content.label_names)
    for index, example in enumerate(content.examples):
        at = f"/examples/{index}"
        if not example.text.strip():
            yield f"{at}/text", "it must not be empty"
        if example.label not in known:
            yield f"{at}/label", f"{example.label!r} is none of the labels"
        yield from _too_long(f"{at}/text", example.text, TEXT_LENGTH)
        yield from _too_long(f"{at}/reasoning", example.reasoning, DESCRIPTION_LENGTH)


def _prompt_faults(prompt: str | None) -> Iterator[Fault]:
    if prompt is None:
        return
    yield from _too_long("/prompt", prompt, PROMPT_LENGTH)
    for found in _PLACEHOLDER.finditer(prompt):
        if found[1] not in PLACEHOLDERS:
            line, column = _place(prompt, found.start())
            meant = "there is no such placeholder" if found[1] else "placeholders have single braces"
            yield "/prompt", f"{found[0]} at line {line}, column {column}: {meant}; {_KNOWN}"
    if "{text}" not in prompt:
        yield "/prompt", "it lacks {text}, the place of the text that is to be labelled"


_KNOWN = "{text} is needed, {labels} and {examples} are allowed"


def _place(text: str, offset: int) -> tuple[int, int]:
    before = text[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")


def _schema_faults(schema: dict[str, Any]) -> Iterator[Fault]:
    """Its own bounds first: the metaschema is only asked about what is small."""
    at = "/answer_schema"
    if _depth(schema) > SCHEMA_DEPTH:
        yield at, f"it is nested more than {SCHEMA_DEPTH} deep"
    elif odd := next(_no_json(schema), None):
        yield at, f"{odd} is no JSON; quote it where a text is meant"
    elif (size := len(json.dumps(schema, default=str))) > SCHEMA_BYTES:
        yield at, f"it has {size:,} bytes; {SCHEMA_BYTES:,} are allowed"
    elif lost := next((one for one in _references(schema) if _leads_nowhere(one, schema)), None):
        yield at, f"$ref {lost!r}: only references to something within the schema are followed (#/$defs/...)"
    else:
        yield from _metaschema_faults(at, schema)


def _metaschema_faults(at: str, schema: dict[str, Any]) -> Iterator[Fault]:
    from jsonschema import Draft202012Validator

    wrong = False
    regular = Draft202012Validator.FORMAT_CHECKER  # of a pattern, whether it can be used
    meta = Draft202012Validator(Draft202012Validator.META_SCHEMA, format_checker=regular)
    for error in meta.iter_errors(schema):
        wrong = True
        yield "/".join([at, *map(str, error.absolute_path)]), error.message[:500]
    if wrong:
        return
    properties = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(properties, dict):
        yield at, "it must describe an object (type: object, properties: ...)"
    elif "label" not in properties:
        yield f"{at}/properties", "it lacks `label`, where the answer says which label it is"


def _depth(value: object, reached: int = 0) -> int:
    """How deep it is nested; not looked at any further than is allowed."""
    if reached > SCHEMA_DEPTH or not isinstance(value, dict | list):
        return reached
    return max((_depth(one, reached + 1) for one in _items(value)), default=reached)


def _no_json(value: object) -> Iterator[str]:
    """What YAML reads and JSON has not: dates, keys that are numbers."""
    if isinstance(value, dict):
        yield from (f"the key {key!r}" for key in value if not isinstance(key, str))
    elif not isinstance(value, list | str | int | float | None):
        yield str(value)
    for one in _items(value):
        yield from _no_json(one)


def _items(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _references(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from (one for key, one in value.items() if key in ("$ref", "$dynamicRef"))
    for one in _items(value):
        yield from _references(one)


def _leads_nowhere(reference: object, schema: dict[str, Any]) -> bool:
    """Out of the schema, to what is not there, or by further references back to itself."""
    seen = set()
    while isinstance(reference, str) and reference not in seen:
        seen.add(reference)
        if reference != "#" and not reference.startswith("#/"):
            return True
        found: object = schema
        for part in reference.split("/")[1:]:
            found = found.get(part) if isinstance(found, dict) else None
        if not isinstance(found, dict | bool):
            return True
        reference = found.get("$ref") if isinstance(found, dict) else None
    return reference is not None
