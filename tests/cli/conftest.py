"""A server that answers as a test has told it, and the command line in front of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from typer.testing import CliRunner, Result

import cli.client
from cli.main import app
from tests.cli.stand_in import Api, served

Lmsys = Callable[..., Result]


@pytest.fixture
def api() -> Iterator[Api]:
    with served() as told:
        yield told


@pytest.fixture
def lmsys(api: Api, monkeypatch: pytest.MonkeyPatch) -> Lmsys:
    """Run a command against that server: `lmsys("runs", "--json")`."""
    monkeypatch.setenv("LMSYS_API_URL", api.url)
    monkeypatch.delenv("LMSYS_API_KEY", raising=False)

    def run(*words: str, given: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(app, words, input=given)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.client, "TRY_AGAIN_S", 0.001)
    monkeypatch.setattr(cli.client, "LOOK_AGAIN_S", (0.001, 0.005))
