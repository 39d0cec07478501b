"""How often one caller may ask for what is expensive, by the `limits` library."""

from __future__ import annotations

import math
import time
from functools import lru_cache

from fastapi import Request
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.exceptions import HTTPException

from domain.base import context

_limiter = MovingWindowRateLimiter(MemoryStorage())
_parse = lru_cache(parse)


async def limit_uploads(request: Request) -> None:
    _limit(request, "upload", _parse(request.app.state.container.settings.upload_rate))


async def limit_predictions(request: Request) -> None:
    _limit(request, "predict", _parse(request.app.state.container.settings.predict_rate))


def _limit(request: Request, what: str, rate: RateLimitItem) -> None:
    """429 with Retry-After for a caller (API key, else address) that asks more often than that."""
    caller = context.get().key_scope or (request.client.host if request.client else "unknown")
    home = str(request.app.state.container.settings.home)
    if not _limiter.hit(rate, what, home, caller):
        wait = _limiter.get_window_stats(rate, what, home, caller).reset_time - time.time()
        headers = {"Retry-After": str(max(1, math.ceil(wait)))}
        raise HTTPException(429, f"{what}: {rate} are allowed; try again later", headers)
