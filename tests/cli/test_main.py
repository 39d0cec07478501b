"""The program as a whole: options that all commands share, statuses, and how fast it is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Lmsys
from tests.cli.stand_in import Api, page

ROOT = Path(__file__).parents[2]
SLOW = ("httpx", "rich", "numpy", "pydantic_settings", "sqlalchemy", "eventsourcing", "fastapi", "psycopg")


def test_nothing_slow_is_imported_before_it_is_needed() -> None:
    code = f"import sys, cli.main; print([one for one in {SLOW!r} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_command_of_the_specification_is_there(lmsys: Lmsys) -> None:
    commands = lmsys("--help").stdout
    words = "load backfill clear datasets cluster runs list-clusters inspect list export summarize summaries"
    words += " search search-cluster edit events projections keys serve api worker openapi demo"
    assert [word for word in words.split() if f"\n  {word} " not in commands] == []
    assert lmsys("backfill-chroma", "--help").exit_code == 0


@pytest.mark.parametrize("words", [("--json", "runs"), ("runs", "--json")])
def test_json_may_be_asked_for_before_and_behind_the_command(
    words: tuple[str, ...], lmsys: Lmsys, api: Api
) -> None:
    api.on("GET", "/api/clustering/runs", page())
    assert lmsys(*words).stdout.startswith('{\n  "items": []')


def test_options_behind_the_command_win(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/clustering/runs", page())
    lmsys("--actor", "ada", "runs", "--actor", "eve")
    assert api.asked[0].headers["x-actor"] == "eve"


def test_the_author_of_changes_is_who_is_logged_in(
    lmsys: Lmsys, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "grace")
    api.on("GET", "/api/clustering/runs", page())
    lmsys("runs")
    assert api.asked[0].headers["x-actor"] == "grace"


def test_the_key_comes_from_the_environment(lmsys: Lmsys, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMSYS_API_KEY", "lmsys_secret")
    api.on("GET", "/api/clustering/runs", page())
    lmsys("runs", "-v")
    assert api.asked[0].headers["x-api-key"] == "lmsys_secret"


def test_the_url_can_be_given(lmsys: Lmsys, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMSYS_API_URL", "http://127.0.0.1:1")
    api.on("GET", "/api/clustering/runs", page())
    assert lmsys("runs", "--api-url", f"{api.url}/").exit_code == 0


def test_notes_go_to_stderr(lmsys: Lmsys, api: Api) -> None:
    api.on("GET", "/api/clustering/runs", page())
    told = lmsys("-v", "runs", "--json")
    assert "GET" in told.stderr
    assert "GET" not in told.stdout


def test_a_refusal_is_told_with_its_details(lmsys: Lmsys, api: Api) -> None:
    api.fail(
        "GET", "/api/clustering/runs", 422, "two are wrong", errors=[{"field": "limit", "message": "large"}]
    )
    told = lmsys("runs")
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr == "lmsys: two are wrong\n  limit: large\n"


def test_words_of_the_server_cannot_move_the_cursor(lmsys: Lmsys, api: Api) -> None:
    api.fail("GET", "/api/clustering/runs", 422, "no run \x1b[2J'x'")
    assert "\x1b" not in lmsys("runs").stderr


def test_nobody_answers(lmsys: Lmsys) -> None:
    told = lmsys("runs", "--api-url", "http://127.0.0.1:1")
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr == "lmsys: no API at http://127.0.0.1:1: start it with `lmsys serve`\n"


@pytest.mark.parametrize(
    "words",
    [
        ("runs", "--no-such-option"),
        ("inspect", "run"),
        ("cluster", "kmeans"),
        ("runs", "--api-url", "nonsense"),
        ("export",),
        ("edit", "rename-cluster", "run", "1"),
        ("projections", "verify"),
        ("load", "no-such-file"),
        ("load", "pyproject.toml", "--path", "also.jsonl"),
        ("summarize", "run", "--model", "gpt"),
        ("cluster", "segment", "--algorithm", "dbscan", "--param", "eps"),
        ("serve", "--host", "0.0.0.0", "--no-auth"),
    ],
)
def test_wrong_usage_has_a_status_of_its_own(words: tuple[str, ...], lmsys: Lmsys, api: Api) -> None:
    told = lmsys(*words)
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr
    assert api.asked == []


def test_a_setting_that_is_wrong_is_named(lmsys: Lmsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMSYS_WAIT_TIMEOUT", "-1")
    told = lmsys("runs")
    assert told.exit_code == 2
    assert "LMSYS_WAIT_TIMEOUT" in told.stderr
