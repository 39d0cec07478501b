"""Wakes whoever follows the log, however many there are, by one connection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from adapters.database import Listener
from adapters.event_store.recorder import CHANNEL


class LogTail:
    """Listens while somebody follows. To be used in one event loop."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._followers: set[asyncio.Event] = set()
        self._listener: Listener | None = None

    @property
    def followers(self) -> int:
        return len(self._followers)

    @asynccontextmanager
    async def follow(self) -> AsyncIterator[asyncio.Event]:
        """An event that is set when the log may have grown, and after every reconnection."""
        grown = asyncio.Event()
        self._followers.add(grown)
        if self._listener is None:
            self._listener = Listener(self._url, (CHANNEL,), self._wake_in(asyncio.get_running_loop()))
            self._listener.start()
        try:
            yield grown
        finally:
            self._followers.discard(grown)
            if not self._followers and self._listener is not None:
                listener, self._listener = self._listener, None
                threading.Thread(target=listener.stop, name="listener-end", daemon=True).start()

    def _wake_in(self, loop: asyncio.AbstractEventLoop) -> Callable[[str, str], None]:
        def heard(*_: Any) -> None:  # noqa: ANN401
            with suppress(RuntimeError):  # the loop has ended, and the listener not quite yet
                loop.call_soon_threadsafe(self._wake)

        return heard

    def _wake(self) -> None:
        for grown in self._followers:
            grown.set()
