"""Templates as YAML: there and back to the same hash, and every fault with its line."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.templates import read_template, write_template
from domain.errors import Invalid
from domain.templates import Example, Label, TemplateContent

GOOD = """\
name: Support tickets
version: 1.10
description: What customers ask for
labels:
  - name: billing
    description: Invoices, charges, refunds
  - yes
  - 2025-10-04
examples:
  - text: why was I charged twice?
    label: billing
    reasoning: about money
    query_id: 7
prompt: |
  Which of {labels} is it?
  {text}
answer_schema:
  type: object
  properties:
    reasoning: {type: string, maxLength: 200}
    label: {type: string}
"""


def test_a_file_says_what_it_looks_like() -> None:
    file = read_template(GOOD)
    assert (file.version, file.template_id) == ("1.10", None)
    assert file.content.labels == (
        Label("billing", "Invoices, charges, refunds"),
        Label("yes"),
        Label("2025-10-04"),
    )
    assert file.content.examples == (Example("why was I charged twice?", "billing", "about money", 7),)
    assert file.content.prompt == "Which of {labels} is it?\n{text}\n"
    schema = file.content.answer_schema or {}
    assert list(schema["properties"]) == ["reasoning", "label"], "their order is part of what is asked"
    assert schema["properties"]["reasoning"]["maxLength"] == 200


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)
NAME = st.text(string.printable, min_size=1, max_size=20).filter(
    lambda one: one.strip() == one and one.isprintable()
)
NAMES = st.lists(NAME, min_size=1, max_size=4, unique_by=str.casefold)


@st.composite
def contents(draw: st.DrawFn) -> TemplateContent:
    names = draw(NAMES)
    labels = tuple(Label(one, draw(st.sampled_from(["", "yes: no", "a\nb ", "- x"]))) for one in names)
    texts = draw(st.lists(TEXT.filter(str.strip), max_size=3))
    examples = tuple(Example(one, draw(st.sampled_from(names)), None, draw(QUERY_IDS)) for one in texts)
    prompt = draw(st.none() | TEXT.map(lambda one: one.replace("{", "(") + "{text}\n"))
    schema = draw(st.none() | st.just({"type": "object", "properties": {"label": {"enum": [1, 1.5, None]}}}))
    return TemplateContent(draw(NAME), labels, draw(st.none() | NAME), examples, prompt, schema)


QUERY_IDS = st.none() | st.integers(1, 2**60)


@given(contents(), st.none() | NAME)
def test_what_is_written_is_read_as_it_was(content: TemplateContent, version: str | None) -> None:
    file = read_template(write_template(content, version, "support"))
    assert (file.content, file.version, file.template_id) == (content, version, "support")
    assert file.content.template_hash == content.template_hash


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("name: x\nlabels: [a, b", 3, "did not find expected"),
        ("", 1, "a template is a mapping"),
        ("- a\n", 1, "a template is a mapping"),
        ("name: x\nlabels: [a]\n---\nname: y\n", 3, "another document"),
        ("name: x\nname: y\n", 2, "'name' stands here again, after line 1"),
        ("name: &a x\nlabels: [*a]\n", 2, "*a: aliases are not taken"),
        ("name: x\nlabels: [a]\nanswer_schema: " + "[" * 5_000, 3, "nested more than 20 deep"),
        ("name: x\nlabels: " + "a" * 1_000_000, 1, "more than 1,000,000 bytes"),
        ("name: x\n? [a]\n: b\n", 2, "a key is a plain word"),
        ("name: !!python/name:os.system x\nlabels: [a]\n", 1, "the tag"),
        ("name: x\nlabels: [a]\n\nschema_module: os\n", 4, "import code that a client names"),
        ("name: x\nlabels: [a]\nlables: [b]\n", 3, "there is no such field"),
        ("labels: [a]\n", 1, "missing required field `name`"),
        (changed("  - yes\n", "  - billing\n"), 7, "label 'billing' stands there twice"),
        (changed("  - yes\n", "  - [yes]\n"), 7, "Expected"),
        (changed("    label: billing\n    reas", "    label: money\n    reas"), 11, "'money' is none of"),
        (changed("{text}\n", "{query}\n"), 14, "{query} at line 2, column 1: there is no such"),
        (changed("{text}\n", "{{text}}\n"), 14, "{{text}} at line 2, column 1: placeholders have single"),
        (changed("{text}\n", "it\n"), 14, "it lacks {text}"),
        (changed("type: object", "type: objec"), 18, "'objec' is not valid"),
        (changed("type: object", "type: array"), 17, "it must describe an object"),
        (changed("    label: {type: string}", "    tag: {type: string}"), 19, "it lacks `label`"),
        (changed("{type: string}", "{$ref: 'http://there/'}"), 17, "only references to something within"),
        (changed("200", "2025-13-01"), 17, "month must be in 1..12"),
        (changed("200", "2025-10-01"), 17, "2025-10-01 is no JSON"),
        (changed("200", ".nan"), 1, "which is no number"),
        (changed("1.10", "[1]"), 2, "version: a text of at most 128"),
        ("name: x\nlabels: [a]\nprompt: '\x01'\n", 1, "this is no YAML"),
    ],
)
def test_what_is_wrong_has_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_template(text)
    first = refused.value.details[0]
    assert (first["line"], words in first["detail"]) == (line, True), first


def test_all_that_is_wrong_is_told_at_once() -> None:
    text = "name: ' '\nlabels: [a, a]\nexamples:\n- {text: x, label: b}\nprompt: none\n"
    with pytest.raises(Invalid) as refused:
        read_template(text)
    assert [one["line"] for one in refused.value.details] == [1, 2, 4, 5]
