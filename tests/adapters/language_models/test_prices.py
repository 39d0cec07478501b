"""What tokens cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.language_models.prices import read_prices
from domain.errors import Invalid
from tests.adapters.language_models.questions import ask_one
from tests.protocols.fixtures import OtherModels


@pytest.mark.parametrize(
    ("model", "cost"),
    [
        ("openai/gpt-4o-mini", 0.15 + 0.60),
        ("openai/gpt-4o-mini-2024-07-18", 0.15 + 0.60),
        ("anthropic/claude-sonnet-4-5-20250929", 18.0),
        ("anthropic/claude-3-5-haiku-latest", 4.8),
        ("ollama/llama3.2", 0.0),
        ("openai/gpt-4o-audio", None),
        ("openai-compatible/gpt-4o", None),
    ],
)
def test_a_million_tokens_in_and_out(model: str, cost: float | None) -> None:
    assert read_prices().cost(model, 1_000_000, 1_000_000) == pytest.approx(cost)


def test_nothing_costs_nothing() -> None:
    assert read_prices().cost("nobody/knows", 0, 0) == 0.0


def test_a_file_of_ones_own_goes_first(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("prices:\n  openai/gpt-4o: [1, 2]\n  openai-compatible/*: [0.5, 0.5]\n")
    prices = read_prices(file)
    assert prices.cost("openai/gpt-4o", 1_000_000, 0) == 1
    assert prices.cost("openai-compatible/any", 1_000_000, 0) == 0.5
    assert prices.cost("openai/gpt-4o-mini", 1_000_000, 0) == 0.15


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prices: 3", "it needs `prices:`"),
        ("other: {}", "it needs `prices:`"),
        ("a: [", "it needs `prices:`"),
        ("prices:\n  openai/m: 3", "'openai/m' needs two numbers"),
        ("prices:\n  openai/m: [1, -2]", "'openai/m' needs two numbers"),
        ("prices:\n  openai/m: [1, dear]", "'openai/m' needs two numbers"),
    ],
)
def test_a_file_that_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    with pytest.raises(Invalid, match=f"prices.yaml: .*{said}"):
        read_prices(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"none\.yaml cannot be read"):
        read_prices(tmp_path / "none.yaml")


def test_an_answer_has_its_cost(other_models: OtherModels, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("prices:\n  openai/m: [1000000, 10]\n")
    models = other_models(prices_file=file)
    assert ask_one(models.get("openai/m")).usage.cost_usd == pytest.approx(7 + 7e-5, rel=0.01)
    assert ask_one(models.get("openai/unknown")).usage.cost_usd is None
