"""The hub loader against a hub on loopback, in a process of its own: the address is fixed at import."""

import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.sources import open_huggingface
from domain.errors import Invalid, Refused
from tests.adapters.sources.hub import TOKEN, serving

ROOT = Path(__file__).parents[3]
TURNS = 40

CLIENT = """
import json, sys, time
time.sleep = lambda seconds: None   # it tries again for minutes
from adapters.sources import open_huggingface
from domain.errors import DomainError

def tell(call):
    after, rows = call.pop("after", 0), []
    try:
        source = open_huggingface(token=call.pop("token", None), **call)
        for row in source.rows(after):
            rows.append([row.row, getattr(row, "query", None), getattr(row, "reason", None)])
        return {"rows": rows, "total": source.total, "name": source.name, "fingerprint": source.fingerprint}
    except DomainError as error:
        return {"rows": rows, "refusal": type(error).__name__, "message": error.message}

print(json.dumps([tell(call) for call in json.loads(sys.argv[1])]))
"""

Answers = list[dict[str, Any]]


def rows(first: int, last: int) -> list[dict[str, object]]:
    return [
        {
            "conversation_id": f"c{n}",
            "conversation": [{"role": "user", "content": f"q{n}" if n % 10 else " "}],
        }
        for n in range(first, last + 1)
    ]


def parquet(records: list[dict[str, object]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), sink)
    return sink.getvalue()


FIRST, SECOND = "data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"
PARTS = {FIRST: parquet(rows(1, 25)), SECOND: parquet(rows(26, TURNS))}
CARD = b"---\ndataset_info:\n  splits:\n  - {name: train, num_bytes: 1, num_examples: 40}\n---\n"
REPOSITORIES = {
    "owner/chat": PARTS,
    "owner/gated": {"README.md": CARD, **PARTS},
    "owner/fading": {**PARTS, SECOND: b""},
    "owner/damaged": {**PARTS, SECOND: b"PAR1" + bytes(5_000)},
    "owner/lines": {"train.jsonl": b"".join(orjson.dumps(row) + b"\n" for row in rows(1, 5))},
    "owner/textless": {"train.parquet": parquet([{"a": "1"}])},
    "owner/empty": {"README.md": b"# nothing"},
}

CALLS: dict[str, dict[str, object]] = {
    "streamed": {"dataset": "owner/chat"},
    "fetched": {"dataset": "owner/chat", "streaming": False},
    "limited": {"dataset": "owner/chat", "limit": 3},
    "resumed": {"dataset": "owner/chat", "after": 22},
    "resumed, fetched": {"dataset": "owner/chat", "after": 22, "streaming": False},
    "named": {"dataset": "owner/chat", "text_column": "conversation_id"},
    "lines": {"dataset": "owner/lines"},
    "split": {"dataset": "owner/chat", "split": "test"},
    "column": {"dataset": "owner/chat", "text_column": "utterance"},
    "textless": {"dataset": "owner/textless"},
    "empty": {"dataset": "owner/empty"},
    "missing": {"dataset": "owner/missing"},
    "gated": {"dataset": "owner/gated"},
    "forbidden": {"dataset": "owner/gated", "token": "hf_other"},
    "allowed": {"dataset": "owner/gated", "token": TOKEN},
    "fading": {"dataset": "owner/fading"},
    "damaged": {"dataset": "owner/damaged"},
}


def ask(endpoint: str, home: Path, calls: dict[str, dict[str, object]]) -> dict[str, dict[str, Any]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGINGFACE"))}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, json.dumps(list(calls.values()))],
        cwd=ROOT,
        env={**kept, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(calls, json.loads(done.stdout), strict=True))


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    with serving(REPOSITORIES) as endpoint:
        return ask(endpoint, tmp_path_factory.mktemp("hub"), CALLS)


def told(first: int, last: int) -> list[list[object]]:
    empty = "field 'conversation' has an empty text for its query"
    return [[n, f"q{n}", None] if n % 10 else [n, None, empty] for n in range(first, last + 1)]


@pytest.mark.parametrize("way", ["streamed", "fetched"])
def test_the_rows_of_a_data_set_of_the_hub(answers: dict[str, dict[str, Any]], way: str) -> None:
    answer = answers[way]
    assert answer["rows"] == told(1, TURNS)
    assert answer["name"] == "owner/chat"
    assert answer["total"] == (TURNS if way == "fetched" else None)
    assert answer["fingerprint"] == answers["limited"]["fingerprint"] != answers["lines"]["fingerprint"]


def test_reading_is_limited_and_resumed(answers: dict[str, dict[str, Any]]) -> None:
    assert answers["limited"]["rows"] == told(1, 3)
    assert answers["resumed"]["rows"] == answers["resumed, fetched"]["rows"] == told(23, TURNS)


def test_the_text_is_found_or_named(answers: dict[str, dict[str, Any]]) -> None:
    assert answers["lines"]["rows"] == told(1, 5)
    assert answers["named"]["rows"][9] == [10, "c10", None]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("split", "owner/chat cannot be read from the hub: "),
        ("column", "owner/chat has no column 'utterance': it has conversation_id, conversation"),
        ("textless", "owner/textless has none of the columns text, query"),
        ("empty", "owner/empty cannot be read from the hub: "),
    ],
)
def test_what_can_never_be_read_is_invalid(
    answers: dict[str, dict[str, Any]], call: str, message: str
) -> None:
    assert (answers[call]["refusal"], answers[call]["rows"]) == ("Invalid", [])
    assert answers[call]["message"].startswith(message)


@pytest.mark.parametrize("call", ["missing", "gated", "forbidden"])
def test_what_the_hub_does_not_give_names_the_token(answers: dict[str, dict[str, Any]], call: str) -> None:
    assert (answers[call]["refusal"], answers[call]["rows"]) == ("Refused", [])
    assert "HUGGINGFACE_TOKEN" in answers[call]["message"]
    assert str(CALLS[call]["dataset"]) in answers[call]["message"]
    assert "hf_other" not in answers[call]["message"]


def test_a_token_opens_a_gated_data_set(answers: dict[str, dict[str, Any]]) -> None:
    assert answers["allowed"]["rows"] == told(1, TURNS)
    assert answers["allowed"]["total"] == TURNS


def test_a_hub_that_fails_on_the_way_is_unavailable_after_the_rows_before(
    answers: dict[str, dict[str, Any]],
) -> None:
    assert answers["fading"]["refusal"] == "Unavailable"
    assert answers["fading"]["rows"] == told(1, 25)


def test_a_damaged_file_is_a_break(answers: dict[str, dict[str, Any]]) -> None:
    *good, (row, _, reason) = answers["damaged"]["rows"]
    assert good == told(1, 25)
    assert row == 26
    assert reason.startswith("breaks off before row 26: ")


def test_a_hub_that_cannot_be_reached_is_unavailable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    answer = ask(f"http://127.0.0.1:{port}", tmp_path, {"x": {"dataset": "owner/chat"}})["x"]
    assert answer["refusal"] == "Unavailable"
    assert answer["message"].startswith("the Hugging Face hub does not answer for owner/chat: ")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(Refused, match=r"pip install 'lmsys-query-analysis\[huggingface\]'"):
        open_huggingface("lmsys/lmsys-chat-1m", token=None)


@pytest.mark.parametrize("name", ["csv", "/etc", "../secret/chats", "owner/chat/more", "tests/adapters", ""])
def test_a_name_that_is_none_of_the_hub_is_never_looked_up(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library would read a folder of this machine, and a data set's name may come from anyone."""
    monkeypatch.chdir(ROOT)
    with pytest.raises(Invalid, match="is not the name of a data set on the hub: give it as owner/name"):
        open_huggingface(name, token=None)
