"""What is dear to make is made once, and kept within bounds."""

from __future__ import annotations

import threading

import pytest

from adapters.kept import Kept


def test_it_is_made_once_for_all_who_ask_at_once() -> None:
    kept, made, begun = Kept[str, str](10, len), list[str](), threading.Event()

    def make() -> str:
        made.append("a")
        begun.wait(5)
        return "value"

    threads = [threading.Thread(target=kept.get, args=("a", make)) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.set()
    for thread in threads:
        thread.join(5)
    assert (made, kept.get("a", make)) == (["a"], "value")


def test_what_was_not_asked_for_goes_first() -> None:
    kept = Kept[str, str](6, len)
    for name in ("aa", "bb", "cc", "aa", "dd"):
        kept.get(name, name.upper)
    made: list[str] = []
    for name in ("aa", "cc", "dd", "bb"):
        kept.get(name, lambda name=name: made.append(name) or "xx")  # type: ignore[misc, func-returns-value]
    assert made == ["bb"]


def test_a_failure_is_not_kept() -> None:
    kept = Kept[str, str](6, len)
    with pytest.raises(ZeroDivisionError):
        kept.get("a", lambda: str(1 / 0))
    assert kept.get("a", lambda: "later") == "later"


def test_what_nobody_asks_for_any_more_goes() -> None:
    kept = Kept[str, str](100, len, idle_s=0)
    kept.get("a", lambda: "first")
    kept.get("b", lambda: "b")
    assert kept.get("a", lambda: "again") == "again"
