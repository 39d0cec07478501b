"""Pages as the specification has them, and a cursor for lists that are too deep to count through."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import orjson
from fastapi import Depends, Query
from pydantic import BaseModel

from domain.errors import Invalid

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

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
    items: Sequence[object], total: int, page: int, limit: int, next_cursor: str | None = None
) -> dict[str, Any]:
    return {
        "items": items,
        "total": total,
        "page": page,
        "pages": max(1, -(-total // limit)),
        "limit": limit,
        "next_cursor": next_cursor,
    }


@dataclass(frozen=True)
class Paging:
    """Which items of a list are asked for. `after`: the id of one to go on behind, in place of a page."""

    page: int
    limit: int
    after: int | None = None

    @property
    def offset(self) -> int:
        return 0 if self.after is not None else (self.page - 1) * self.limit

    def of(
        self, item: type[M], items: Sequence[object], total: int, next_cursor: str | None = None
    ) -> PaginatedResponse[M]:
        """The answer: so many items of `total`."""
        page = page_of(items, total, self.page, self.limit, next_cursor)
        return PaginatedResponse[item].model_validate(page)  # type: ignore[valid-type]

    def cursor_behind(self, rows: Sequence[Mapping[str, Any]], key: str) -> str | None:
        """Behind the last of these; None where they do not fill the page."""
        return encode_cursor(rows[-1][key]) if len(rows) == self.limit else None


async def get_page(page: Page = 1, limit: Limit = 50) -> Paging:
    return Paging(page, limit)


async def get_deep_page(page: Page = 1, limit: Limit = 50, cursor: Cursor = None) -> Paging:
    return Paging(page, limit, decode_cursor(cursor, int)[0] if cursor else None)


PageDep = Annotated[Paging, Depends(get_page)]
DeepPageDep = Annotated[Paging, Depends(get_deep_page)]


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
