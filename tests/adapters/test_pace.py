"""At most so many in a window, in the order of asking."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.services.pace import Pace


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


def test_what_is_over_the_bound_waits_for_the_window_to_pass(clock: Clock) -> None:
    pace, moments = Pace(60), []
    for _ in range(7):
        pace.wait(3, clock.sleep)
        moments.append(clock.now - 1_000)
    assert moments == [0, 0, 0, 60, 60, 60, 120]


def test_without_a_bound_nobody_waits(clock: Clock) -> None:
    pace = Pace(60)
    for _ in range(100):
        pace.wait(None, clock.sleep)
    assert clock.now == 1_000


def test_a_place_that_is_not_taken_is_given_back(clock: Clock) -> None:
    pace = Pace(60)
    pace.wait(1, clock.sleep)

    def wake(seconds: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        pace.wait(1, wake)
    pace.wait(1, clock.sleep)
    assert clock.now == 1_060


def test_each_keeps_its_own_bound_where_they_differ(clock: Clock) -> None:
    pace = Pace(60)
    for _ in range(5):
        pace.wait(5, clock.sleep)
    pace.wait(9, clock.sleep)
    assert clock.now == 1_000
    pace.wait(2, clock.sleep)
    assert clock.now == 1_060


@given(st.lists(st.floats(0, 40), max_size=60), st.integers(1, 5))
def test_no_window_has_more_than_the_bound(gaps: list[float], bound: int) -> None:
    clock, pace, moments = Clock(), Pace(60), []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(time, "monotonic", lambda: clock.now)
        for gap in gaps:
            clock.sleep(gap)
            pace.wait(bound, clock.sleep)
            moments.append(clock.now)
    assert all(late - early >= 60 - 1e-6 for early, late in zip(moments, moments[bound:], strict=False))


def test_threads_share_it() -> None:
    pace, moments, lock = Pace(0.2), [], threading.Lock()

    def ask() -> None:
        pace.wait(5)
        with lock:
            moments.append(time.monotonic())

    began = time.monotonic()
    run_all([ask] * 16)
    assert len(moments) == 16
    assert all(sum(one < began + 0.2 * window for one in moments) <= 5 * window for window in range(1, 5))


def run_all(work: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
