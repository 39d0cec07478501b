"""At most so many requests a minute, counted over all threads of the process."""

from __future__ import annotations

import time
from bisect import bisect_right, insort
from collections.abc import Callable
from contextlib import suppress
from threading import Lock

Sleep = Callable[[float], None]

MINUTE_S = 61.0
"""A second more than the provider counts: requests arrive later than they begin, some more than others."""


class Pace:
    """When the next request to one service may be made.

    Every request gets its moment when it asks, and is made then: fifty threads that sleep do not all wake for
    one place that is free, and none waits for ever. In no window of `window_s` do more begin than the bound
    allows. Callers with different bounds are counted together, and each keeps its own.
    """

    def __init__(self, window_s: float = MINUTE_S) -> None:
        self._window_s = window_s
        self._taken: list[float] = []
        self._lock = Lock()

    def wait(self, bound: int | None, sleep: Sleep = time.sleep) -> None:
        """Sleeps until the moment has come. Where `sleep` raises, the place is given back."""
        if bound is None:
            return
        moment = self._take(bound)
        try:
            while (left := moment - time.monotonic()) > 0:
                sleep(left)
        except BaseException:
            with self._lock, suppress(ValueError):  # it may be out of the window by now
                self._taken.remove(moment)
            raise

    def _take(self, bound: int) -> float:
        with self._lock:
            now = time.monotonic()
            del self._taken[: bisect_right(self._taken, now - self._window_s)]
            free = len(self._taken) < bound
            moment = now if free else max(now, self._taken[-bound] + self._window_s)
            insort(self._taken, moment)
            return moment


_paces: dict[str, Pace] = {}
_lock = Lock()


def pace_of(service: str) -> Pace:
    """The one of this service, in this process."""
    with _lock:
        return _paces.setdefault(service, Pace())
