"""Pages as the specification has them, and a cursor for lists that are too deep to count through."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Generic, TypeVar

import orjson
from fastapi import Query
from pydantic import BaseModel

from domain.base import Invalid

T = TypeVar("T")

Page = Annotated[int, Query(ge=1, le=1_000_000, description="Which page; the first is 1.")]
Limit = Annotated[int, Query(ge=1, le=1_000, description="Items of a page.")]
Cursor = Annotated[
    str | None, Query(max_length=1_000, description="`next_cursor` of the page before; goes before `page`.")
]


class PaginatedResponse(BaseModel, Generic[T]):
    """`next_cursor` leads to the page after this one, None at the end."""

    items: list[T]
    total: int
    page: int
    pages: int
    limit: int
    next_cursor: str | None = None


def page_of(
    items: list[Any], total: int, page: int, limit: int, next_cursor: str | None = None
) -> dict[str, Any]:
    return {
        "items": items,
        "total": total,
        "page": page,
        "pages": max(1, -(-total // limit)),
        "limit": limit,
        "next_cursor": next_cursor,
    }


def encode_cursor(*key: object) -> str:
    """The sort key of the last item of a page, opaque to the client."""
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type) -> list[Any]:
    """The key that `encode_cursor` was given. Raises Invalid for anything else."""
    try:
        key = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        fits = len(key) == len(kinds) and all(type(v) is k for v, k in zip(key, kinds, strict=True))
    except (ValueError, TypeError) as error:
        raise Invalid("cursor: not one that this API gave out") from error
    if not fits:
        raise Invalid("cursor: it belongs to another list")
    return list(key)
