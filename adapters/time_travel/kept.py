"""What was asked for lately, up to so many bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Kept(Generic[V]):
    """What was asked for longest ago goes first. One value that is too large by itself is not kept."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._values: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._alone = threading.Lock()

    def get(self, key: Hashable) -> V | None:
        with self._alone:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key: Hashable, value: V, size: int) -> None:
        if size > self._most:
            return
        with self._alone:
            self._bytes += size - self._values.pop(key, (value, 0))[1]
            self._values[key] = (value, size)
            while self._bytes > self._most:
                self._bytes -= self._values.popitem(last=False)[1][1]

    def values(self) -> list[V]:
        with self._alone:
            return [value for value, _ in self._values.values()]

    def clear(self) -> None:
        with self._alone:
            self._values.clear()
            self._bytes = 0
