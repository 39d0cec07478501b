"""What is dear to make and asked for again, up to so many bytes, the last used first."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """Each is made once, by whoever asks first; the others wait for it. A failure is not kept.

    What was not asked for in `idle_s` goes as well, when anything else is: it may hold what was erased since.
    """

    def __init__(self, most_bytes: int, size: Callable[[V], int], idle_s: float = 600.0) -> None:
        self._most, self._size, self._idle_s = most_bytes, size, idle_s
        self._kept: OrderedDict[K, Future[V]] = OrderedDict()
        self._asked: dict[K, float] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[], V]) -> V:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            else:
                mine = self._kept[key] = Future[V]()
            self._asked[key] = time.monotonic()
        return found.result() if found is not None else self._make(key, mine, make)

    def _make(self, key: K, mine: Future[V], make: Callable[[], V]) -> V:
        try:
            value = make()
        except BaseException as error:
            with self._lock:
                del self._kept[key], self._asked[key]
            mine.set_exception(error)
            raise
        mine.set_result(value)
        with self._lock:
            self._bytes += self._size(value)
            self._make_room()
        return value

    def _make_room(self) -> None:
        """One that is larger than everything that is allowed is kept alone. What is being made stays."""
        idle = time.monotonic() - self._idle_s
        made = [key for key, one in self._kept.items() if one.done()]
        for key in made[:-1]:
            if self._bytes > self._most or self._asked[key] < idle:
                self._bytes -= self._size(self._kept.pop(key).result())
                del self._asked[key]
