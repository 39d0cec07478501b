"""Who waits for a read model is told when it has passed a position."""

from __future__ import annotations

import threading

from adapters.runner import Positions


def test_whoever_waits_is_woken_when_all_have_passed() -> None:
    positions = Positions(dict)
    waited: list[bool] = []
    thread = threading.Thread(target=lambda: waited.append(positions.wait(["a", "b"], 5, 20)))
    thread.start()
    positions.heard("a 5")
    positions.heard("b 4")
    assert waited == []
    positions.heard("b 6")
    thread.join(timeout=10)
    assert waited == [True]


def test_who_has_waited_long_enough_is_told_that_it_was_in_vain() -> None:
    positions = Positions(dict)
    positions.heard("a 4")
    assert positions.wait(["a"], 4, 0)
    assert not positions.wait(["a"], 5, 0.01)
    assert not positions.wait(["b"], 1, 0.01)


def test_what_was_heard_late_takes_nothing_back() -> None:
    positions = Positions(dict)
    positions.heard("a 7")
    positions.heard("a 5")
    assert positions.wait(["a"], 7, 0)


def test_after_a_new_connection_the_positions_are_read() -> None:
    positions = Positions(lambda: {"a": 3, "b": 4})
    positions.heard("")
    assert positions.wait(["a", "b"], 3, 0)


def test_after_the_log_has_begun_anew_nothing_is_taken_for_done() -> None:
    positions = Positions(dict)
    positions.heard("a 7")
    positions.heard("reset")
    assert not positions.wait(["a"], 1, 0.01)
