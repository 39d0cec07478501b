"""What tokens cost, by a table that can be edited."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from domain.errors import Invalid

MILLION = 1_000_000
_VERSION = re.compile(r"(-latest|[-@]\d{8}|-\d{4}-\d\d-\d\d|-\d\d-\d{4})$")


@dataclass(frozen=True)
class Prices:
    """USD for a million tokens, (in, out), by model. A newer model of a like name may cost anything else, so
    that a name fits but for the date of a version, unless it ends with `*`.
    """

    table: Mapping[str, tuple[float, float]]

    def cost(self, model: str, input_tokens: int, output_tokens: int) -> float | None:
        """USD, or None for a model that the table does not know."""
        price = self._price(model)
        if price is None:
            return None if input_tokens or output_tokens else 0.0
        return (input_tokens * price[0] + output_tokens * price[1]) / MILLION

    def _price(self, model: str) -> tuple[float, float] | None:
        found = self.table.get(model) or self.table.get(_VERSION.sub("", model))
        patterns = [name for name in self.table if name.endswith("*") and model.startswith(name[:-1])]
        return found or (self.table[max(patterns, key=len)] if patterns else None)


def read_prices(path: Path | None = None) -> Prices:
    """The table that comes with the program, with the lines of `path` before its own.

    Raises Invalid naming the file and the line that is wrong.
    """
    table = _table("the table of prices", (files(__package__) / "prices.yaml").read_text())
    if path is not None:
        try:
            table |= _table(str(path), path.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"{path} cannot be read: {error}") from None
    return Prices(table)


def _table(name: str, text: str) -> dict[str, tuple[float, float]]:
    try:
        prices = yaml.safe_load(text)["prices"]
        return {str(model): _price(name, str(model), price) for model, price in prices.items()}
    except (yaml.YAMLError, TypeError, KeyError, AttributeError):
        raise Invalid(
            f"{name}: it needs `prices:` with lines such as `openai/gpt-4o: [2.50, 10.00]`"
        ) from None


def _price(name: str, model: str, price: Any) -> tuple[float, float]:  # noqa: ANN401
    match price:
        case [int() | float() as price_in, int() | float() as price_out] if min(price) >= 0:
            return float(price_in), float(price_out)
    raise Invalid(f"{name}: {model!r} needs two numbers, USD for 1,000,000 tokens in and out")
