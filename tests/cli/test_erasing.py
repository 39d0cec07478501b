"""Erasing from the command line: one request for each conversation, and a question before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Lmsys
from tests.cli.stand_in import Api


def answer(conversation_id: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "dataset": "mine",
        "conversation_id": conversation_id,
        "query_ids": [7],
        "runs": ["kmeans-3"],
        "also_held_by": 0,
        "complete": True,
        **more,
    }


def at(conversation_id: str) -> str:
    return f"/api/datasets/mine/conversations/{conversation_id}"


@pytest.mark.parametrize(("words", "given"), [(("--yes",), ""), ((), "mine\n")])
def test_a_conversation_is_erased_with_its_reason(
    words: tuple[str, ...], given: str, lmsys: Lmsys, api: Api
) -> None:
    api.on("DELETE", at("c1"), answer("c1"))
    told = lmsys("datasets", "erase", "mine", "c1", "--reason", "asked for", "--json", *words, given=given)
    assert told.exit_code == 0
    assert json.loads(told.stdout) == {"items": [answer("c1")], "failed": []}
    assert [one.json for one in api.asked] == [{"reason": "asked for"}]


@pytest.mark.parametrize("given", ["other\n", ""])
def test_nothing_is_erased_by_mistake(given: str, lmsys: Lmsys, api: Api) -> None:
    told = lmsys("datasets", "erase", "mine", "c1", "--reason", "asked for", given=given)
    assert (told.exit_code, told.stdout, api.asked) == (1, "", [])
    assert "nothing was erased" in told.stderr


def test_many_are_erased_one_by_one_and_those_that_are_unknown_are_named(
    lmsys: Lmsys, api: Api, tmp_path: Path
) -> None:
    ids = tmp_path / "ids"
    ids.write_text("c2\n\n no/such \n")
    for one in ("c1", "c2"):
        api.on("DELETE", at(one), answer(one, also_held_by=3))
    api.fail("DELETE", at("no%2Fsuch"), 404, "data set 'mine' has no conversation 'no/such'")
    told = lmsys("datasets", "erase", "mine", "c1", "--file", str(ids), "--reason", "asked for", "--yes")
    assert [one.path for one in api.asked] == [at("c1"), at("c2"), at("no%2Fsuch")]
    assert told.exit_code == 1
    assert [line.split() for line in told.stdout.splitlines()[1:]] == [
        ["c1", "7", "3", "yes"],
        ["c2", "7", "3", "yes"],
    ]
    assert "1 of 3 were not erased" in told.stderr
    assert "no conversation 'no/such'" in told.stderr


def test_ids_come_from_stdin(lmsys: Lmsys, api: Api) -> None:
    api.on("DELETE", at("c9"), answer("c9"))
    words = ("datasets", "erase", "mine", "--file", "-", "--reason", "x")
    assert lmsys(*words, "--yes", given="c9\n").exit_code == 0
    assert lmsys(*words, given="c9\n").exit_code == 2
    assert len(api.asked) == 1


@pytest.mark.parametrize(
    "words", [("--yes", "c1"), ("--yes", "--reason", "x"), ("--file", "no-such", "--reason", "x")]
)
def test_a_reason_and_ids_are_asked_for(words: tuple[str, ...], lmsys: Lmsys, api: Api) -> None:
    assert lmsys("datasets", "erase", "mine", *words).exit_code == 2
    assert api.asked == []
