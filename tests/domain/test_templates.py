"""Templates: versions that are all kept, and labels that can be followed through them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from domain.errors import Invalid, NotFound, Stale
from domain.templates import Example, Label, Migration, Template, TemplateContent, difference, read_content
from domain.values import digest
from tests.given import given

BILLING = Example("why was I charged twice?", "billing", "it is about money", query_id=7)
CONTENT = TemplateContent(
    "Support",
    (Label("billing", "Invoices and refunds"), Label("login"), Label("other")),
    examples=(BILLING, Example("cannot sign in", "login")),
    prompt="Which of {labels} is it?\n{text}",
)
NEXT = replace(CONTENT, labels=(*CONTENT.labels, Label("praise")))


def template(*changes: list[dict[str, Any]]) -> Template:
    made = Template.create("support", CONTENT, "1.0")
    for one in changes:
        made.migrate(Migration.read(one))
    return made


def names(made: Template) -> list[str]:
    return list(made.content.label_names)


# --- versions


def test_a_template_begins_with_its_first_version() -> None:
    made = template()
    assert (made.name, made.number, made.source, made.deleted) == ("support", 1, "db", False)
    assert made.content == made.at(1) == CONTENT
    (created,) = made.pending_events
    assert vars(created)["labels"] == ["billing", "login", "other"]
    assert "charged" not in str(vars(created))


def test_another_content_is_the_next_version() -> None:
    made = template()
    fields = {"number": 2, "version": "1.1", "template_hash": NEXT.template_hash, "rolled_back_to": None}
    given(made).when(lambda one: one.revise(NEXT, "1.1", "yaml")).then(Template.Revised, **fields)
    assert (made.number, made.content, made.at(1)) == (2, NEXT, CONTENT)
    assert (made.version_with(CONTENT.template_hash), made.version_with("0" * 64)) == (1, None)


def test_what_says_the_same_is_no_version() -> None:
    given(template()).when(lambda one: one.revise(CONTENT, "1.0")).then_nothing()
    given(template()).when(lambda one: one.revise(CONTENT, "2.0")).then(Template.Revised, version="2.0")


def test_a_roll_back_is_a_new_version() -> None:
    made = template()
    made.revise(NEXT)
    fields = {"number": 3, "version": "1.0", "rolled_back_to": 1, "template_hash": CONTENT.template_hash}
    given(made).when(lambda one: one.roll_back(1)).then(Template.Revised, **fields)
    assert made.version_with(CONTENT.template_hash) == 3
    given(made).when(lambda one: one.roll_back(4)).refuses(NotFound, "has versions 1 to 3, not 4")


def test_what_says_the_same_as_an_older_version_is_a_roll_back_to_it() -> None:
    made = template([rename("billing", "payment")])
    given(made).when(lambda one: one.revise(CONTENT, "1.1", "yaml")).then(Template.Revised, rolled_back_to=1)
    assert made.translate("payment", 2) == "billing"


def test_who_has_seen_another_version_is_told_the_present_hash() -> None:
    with pytest.raises(Stale, match=CONTENT.template_hash) as refused:
        template().check_hash(NEXT.template_hash)
    assert refused.value.details[0]["template_hash"] == CONTENT.template_hash


def test_what_is_deleted_comes_back_with_a_new_version() -> None:
    made = template()
    given(made).when(lambda one: one.delete()).then(Template.Deleted)
    given(made).when(lambda one: one.delete()).refuses(NotFound, "was deleted")
    given(made).when(lambda one: one.migrate(Migration.read([retire("login")]))).refuses(NotFound, "deleted")
    given(made).when(lambda one: one.revise(CONTENT, "1.0")).then(Template.Revised, number=2)
    assert not made.deleted


# --- erasing


def test_examples_of_an_erased_query_go_from_all_versions() -> None:
    made = template()
    made.revise(NEXT)
    text = digest(b"cannot sign in")
    instead = made.erase_examples({7}, set())
    assert instead.keys() == {CONTENT.template_hash, NEXT.template_hash}
    assert [len(made.at(number).examples) for number in (1, 2)] == [1, 1]
    assert made.version_with(CONTENT.template_hash) == 1, "runs recorded this hash"
    assert made.current.template_hash == made.content.template_hash != NEXT.template_hash
    made.erase_examples(set(), {text})
    assert [made.at(number).examples for number in (1, 2)] == [(), ()]
    given(made).when(lambda one: one.erase_examples({7}, {text})).then_nothing()


# --- labels that become others


def rename(old: str, new: str) -> dict[str, Any]:
    return {"kind": "rename", "from": old, "to": new}


def merge(old: list[str], new: str) -> dict[str, Any]:
    return {"kind": "merge", "from": old, "to": new}


def split(old: str, *new: str, default: str | None = None) -> dict[str, Any]:
    return {"kind": "split", "from": old, "to": list(new), "default": default}


def retire(*old: str) -> dict[str, Any]:
    return {"kind": "retire", "from": list(old)}


def test_a_rename_keeps_the_description_and_takes_examples_along() -> None:
    made = template([rename("billing", "payment")])
    assert made.content.labels[0] == Label("payment", "Invoices and refunds")
    assert [one.label for one in made.content.examples] == ["payment", "login"]
    assert made.translate("billing", 1) == "payment"
    assert made.translate("payment", 2, 1) == "billing"


def test_a_merge_goes_into_a_new_label_or_one_that_is_there() -> None:
    assert names(template([merge(["billing", "login"], "account")])) == ["account", "other"]
    made = template([merge(["billing"], "other")])
    assert names(made) == ["login", "other"]
    assert (made.translate("billing", 1), made.translate("other", 1)) == ("other", "other")
    assert made.translate("other", 2, 1) is None, "it may have been either"


def test_a_split_waits_for_a_person_unless_it_has_a_default() -> None:
    made = template([split("billing", "invoice", "refund")])
    assert names(made) == ["invoice", "refund", "login", "other"]
    assert made.translate("billing", 1) is None
    assert made.translate("refund", 2, 1) == "billing"
    assert len(made.content.examples) == 1, "nobody knows which of both it is"
    made = template([split("billing", "billing", "refund", default="billing")])
    assert made.translate("billing", 1) == "billing"
    assert made.content.labels[0] == Label("billing", "Invoices and refunds")


def test_what_is_retired_or_dropped_is_nothing_any_more() -> None:
    made = template([retire("other")])
    assert (names(made), made.translate("other", 1)) == (["billing", "login"], None)
    made.revise(replace(CONTENT, labels=CONTENT.labels[:2]))
    made.revise(CONTENT)
    assert made.translate("other", 4, 3) is None
    assert made.translate("other", 3, 4) is None, "that version has no such label"


def test_changes_happen_at_once() -> None:
    made = template([rename("billing", "login"), rename("login", "billing")])
    assert made.content.labels[:2] == (Label("login", "Invoices and refunds"), Label("billing"))
    assert (made.translate("billing", 1), made.translate("login", 1)) == ("login", "billing")


def test_a_roll_back_takes_labels_back() -> None:
    made = template([rename("billing", "payment")], [rename("payment", "money"), retire("login")])
    made.roll_back(1)
    assert made.translate("money", 3) == "billing"
    assert made.translate("login", 1) is None, "version 3 had none"
    assert made.translate("billing", 4, 2) == "payment"


def test_new_labels_may_come_with_a_description() -> None:
    new = {"kind": "rename", "from": "login", "to": {"name": "access", "description": "Signing in"}}
    made = template([new, merge(["billing"], "other")])
    assert made.content.labels == (Label("access", "Signing in"), Label("other"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([], "changes is empty"),
        ([{"kind": "drop", "from": "login"}], "changes[0]: Invalid enum value 'drop'"),
        ([{"kind": "retire"}], "changes[0]: Object missing required field `from`"),
        ([rename("login", "other")], "there would be two labels 'other'"),
        ([rename("login", "login")], "changes nothing"),
        ([rename("nobody", "x")], "changes[0].from: the template has no label 'nobody'"),
        ([rename("login", "x"), retire("login")], "label 'login' is changed twice"),
        ([{"kind": "rename", "from": ["login", "other"], "to": "x"}], "changes[0].from: a rename takes one"),
        ([split("login", "x")], "changes[0].to: a split gives two labels or more, not 1"),
        ([split("login", "x", "x")], "changes[0].to: label 'x' stands there twice"),
        ([split("login", "x", "y", default="z")], "changes[0].default"),
        ([{"kind": "retire", "from": "login", "to": "x"}], "changes[0].to: a retire gives none"),
        ([retire("billing", "login", "other")], "labels: there are 0"),
        ([rename("login", " ")], "labels/1: it must not be empty"),
        ([rename("login", "Billing")], "labels/1: label 'Billing' cannot be told from 'billing'"),
    ],
)
def test_what_is_no_migration(changes: list[dict[str, Any]], words: str) -> None:
    made = template()
    with pytest.raises(Invalid) as refused:
        made.migrate(Migration.read(changes))
    assert words in refused.value.message
    assert made.number == 1


# --- any chain of migrations, against a plain model of what each does


NAMES = st.sampled_from("abcdefgh")


@st.composite
def chains(draw: st.DrawFn) -> Template:
    """A template with up to six versions made by migrations, revisions and roll-backs."""
    labels = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    made = Template.create("t", TemplateContent("t", tuple(map(Label, labels))))
    for _ in range(draw(st.integers(1, 5))):
        step = draw(st.sampled_from(("migrate", "migrate", "revise", "roll back")))
        try:
            if step == "revise":
                kept = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
                made.revise(TemplateContent("t", tuple(map(Label, kept))))
            elif step == "roll back":
                made.roll_back(draw(st.integers(1, made.number)))
            else:
                made.migrate(Migration.read([draw(changes(names(made)))]))
        except Invalid:
            continue  # two labels of one name
    return made


def changes(labels: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    of = st.sampled_from(labels)
    several = st.lists(of, min_size=1, max_size=3, unique=True)
    two = st.lists(NAMES, min_size=2, max_size=3, unique=True)
    return st.one_of(
        st.builds(rename, of, NAMES),
        st.builds(merge, several, NAMES),
        st.builds(retire, of),
        st.builds(lambda old, new: split(old, *new), of, two),
        st.builds(lambda old, new: split(old, *new, default=new[0]), of, two),
    )


def by_hand(made: Template, label: str, number: int) -> str | None:
    """What one step does to a label, read off the event itself."""
    event = made.pending_events[number]
    old, new = made.versions[number - 1].labels, made.versions[number].labels
    if isinstance(event, Template.LabelsMigrated):
        (change,) = event.changes
        if label in change["from"]:
            ends = {"rename": change["to"][:1], "merge": change["to"][:1], "split": [change["default"]]}
            return (ends.get(change["kind"]) or [None])[0]
    assert label in old
    return label if label in new else None


@for_all(chains(), st.data())
def test_a_chain_says_what_its_steps_say_one_by_one(made: Template, data: st.DataObject) -> None:
    label = data.draw(st.sampled_from(made.versions[0].labels))
    now: str | None = label
    for number in range(1, made.number):
        rolled_back = made.versions[number].rolled_back_to is not None
        if now is not None:
            now = made.translate(now, number, number + 1) if rolled_back else by_hand(made, now, number)
        assert made.translate(label, 1, number + 1) == now


@for_all(chains())
def test_there_and_back_again_is_the_same_or_nobody_knows(made: Template) -> None:
    for before, after in pairwise(made.versions):
        for label in after.labels:
            back = made.translate(label, after.number, before.number)
            assert back is None or back in before.labels
            forth = back and made.translate(back, before.number, after.number)
            assert not forth or made.translate(forth, after.number, before.number) in (back, None)


@for_all(chains())
def test_a_replay_comes_to_the_same(made: Template) -> None:
    events = made.pending_events
    again: Any = None
    for one in events:
        again = one.mutate(again)
    assert (again.versions, again.deleted) == (made.versions, made.deleted)


# --- what lies between two versions


def test_a_difference_names_labels_words_and_lines() -> None:
    other = replace(
        CONTENT,
        name="Help",
        labels=(Label("billing", "Money"), Label("praise")),
        examples=(BILLING,),
        prompt="Which of {labels} is it?\nSay why.\n{text}",
        answer_schema={"type": "object"},
    )
    found = difference(CONTENT, other)
    assert found["fields"] == {"name": {"before": "Support", "after": "Help"}}
    assert (found["labels_added"], found["labels_removed"]) == (["praise"], ["login", "other"])
    assert found["labels_described"] == [
        {"name": "billing", "before": "Invoices and refunds", "after": "Money"}
    ]
    assert [one["text"] for one in found["examples_removed"]] == ["cannot sign in"]
    assert "+Say why." in found["prompt"].splitlines()
    assert '+  "type": "object"' in found["answer_schema"].splitlines()
    assert difference(CONTENT, CONTENT)["same"]
    assert difference(CONTENT, CONTENT)["prompt"] == ""


# --- the form of an answer


def schema(label: object, **more: object) -> dict[str, Any]:
    wanted = {"type": "object", "properties": {"label": label}, **more}
    return {"name": "x", "labels": ["a"], "answer_schema": wanted}


@pytest.mark.parametrize(
    "fields",
    [
        schema({"enum": ["a", "b"]}),
        schema({"$ref": "#/$defs/name"}, **{"$defs": {"name": {"type": "string", "pattern": "^[ab]$"}}}),
        schema(True),
    ],
)
def test_a_schema_that_can_be_used(fields: dict[str, Any]) -> None:
    assert read_content(fields).answer_schema == fields["answer_schema"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (schema({"pattern": "("}), "answer_schema/properties/label/pattern: '(' is not a 'regex'"),
        (schema({"$ref": "#/$defs/name"}), "$ref '#/$defs/name'"),
        (schema({"$ref": "#name"}), "$ref '#name'"),
        (schema({"$ref": "#/properties/label"}), "$ref '#/properties/label'"),
        (schema({"$ref": "https://there/"}), "$ref 'https://there/'"),
        (schema({"description": "x" * 20_000}), "20,000 are allowed"),
    ],
)
def test_a_schema_that_cannot(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_content(fields)
    assert words in refused.value.message
