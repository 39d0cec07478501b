"""Options of what asks a language model."""

from __future__ import annotations

from typing import Annotated

import typer

Concurrency = Annotated[int | None, typer.Option(min=1, help="Calls of the model at a time.")]
Rpm = Annotated[int | None, typer.Option(min=1, help="Calls of the model per minute at most.")]
Tokens = Annotated[int | None, typer.Option(min=1, help="Tokens that it may use in all, in and out.")]


def named(model: str, example: str) -> dict[str, str]:
    """`provider/model` as the two fields of a request."""
    provider, slash, name = model.partition("/")
    if not (provider and slash and name):
        raise typer.BadParameter(f"--model {model}: write provider/model, for example {example}")
    return {"provider": provider, "model": name}


def bounds(concurrency: int | None, rpm: int | None, tokens: int | None) -> dict[str, int]:
    """Those that are given, as fields of a request."""
    given = {"concurrency": concurrency, "rpm": rpm, "tokens": tokens}
    return {name: value for name, value in given.items() if value is not None}
