"""What the work on every run has: when it looks whether it was cancelled, and when it records."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from commands import runs
from commands.runs import Cancellation, chunks


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(runs, "time", found)
    return found


def test_the_log_is_asked_now_and_then_until_it_says_yes(clock: Clock) -> None:
    answers = [False, False, True]
    cancelled = Cancellation(lambda: answers.pop(0))
    assert [cancelled(), cancelled()] == [False, False]
    clock.now += runs.LOOKED_EVERY_S
    assert [cancelled(), cancelled()] == [False, False]
    assert cancelled.look()
    clock.now += runs.LOOKED_EVERY_S
    assert [cancelled(), cancelled()] == [True, True]
    assert answers == []


def test_a_chunk_ends_by_number_by_length_and_by_time(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(chunks("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(chunks([], 2)) == []
    monkeypatch.setattr(runs, "CHARACTERS_AT_ONCE", 3)
    assert list(chunks(["a", "bc", "d", "e"], 9, len)) == [["a", "bc"], ["d", "e"]]

    def slow() -> Iterator[int]:
        for number in range(4):
            clock.now += runs.RECORDED_EVERY_S / 2
            yield number

    assert list(chunks(slow(), 9)) == [[0, 1], [2, 3]]


def test_what_came_before_its_source_broke_off_is_given_out_first() -> None:
    def broken() -> Iterator[int]:
        yield from range(3)
        raise ConnectionError("away")

    found: list[list[int]] = []
    with pytest.raises(ConnectionError, match="away"):
        found.extend(chunks(broken(), 2))
    assert found == [[0, 1], [2]]
