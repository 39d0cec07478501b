"""The figures of /metrics, which another process serves than the one that asks."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from adapters.bootstrap import open_container
from adapters.providers import SettingsLanguageModels
from adapters.settings import Settings
from api.app import create_app
from domain.errors import UpstreamRefused
from tests.adapters.language_models.questions import ask, question
from tests.protocols.server import ProtocolServer, Status, Words


def test_calls_tokens_cost_and_failures_are_added_up(
    language_models: SettingsLanguageModels, openai: ProtocolServer
) -> None:
    model = language_models.get("openai/gpt-4o")
    openai.script.extend([Status(429), Words("no")])
    ask(model, [question()])
    ask(model, [question()])
    openai.script.append(Status(400))
    ask(model, [question(text="another")])
    totals = language_models.meter.totals()["openai/gpt-4o"]
    assert totals["seconds"] > 0
    del totals["seconds"]
    assert totals == {
        "calls": 4,
        "cached": 1,
        "input_tokens": 14,
        "output_tokens": 14,
        "cost_usd": pytest.approx(14 * 2.5e-6 + 14 * 10e-6),
        "unpriced_calls": 0,
    }
    name = "openai/gpt-4o"
    assert language_models.meter.failures() == {
        (name, "rate_limit"): 1,
        (name, "invalid"): 1,
        (name, "rejected"): 1,
    }


def test_a_call_that_ends_everything_is_counted_as_well(
    language_models: SettingsLanguageModels, openai: ProtocolServer
) -> None:
    openai.answer = lambda asked: Status(401)
    with pytest.raises(UpstreamRefused):
        ask(language_models.get("openai/gpt-4o"), [question(), question(2, "another")], concurrency=1)
    assert language_models.meter.totals()["openai/gpt-4o"]["calls"] == 1
    assert language_models.meter.failures() == {("openai/gpt-4o", "denied"): 1}


def test_a_call_without_a_price_is_counted_as_one(language_models: SettingsLanguageModels) -> None:
    ask(language_models.get("openai/unheard-of"), [question()])
    totals = language_models.meter.totals()["openai/unheard-of"]
    assert (totals["unpriced_calls"], totals["cost_usd"]) == (1, 0)


def test_metrics_have_them(provider_settings: Settings, language_models: SettingsLanguageModels) -> None:
    ask(language_models.get("anthropic/claude-haiku-4-5"), [question()])
    app = create_app(provider_settings)
    with open_container(provider_settings) as app.state.container:
        figures = TestClient(app).get("/metrics").text
    assert 'lmsys_model_calls_total{model="anthropic/claude-haiku-4-5"} 1.0' in figures
    assert 'lmsys_model_input_tokens_total{model="anthropic/claude-haiku-4-5"} 7.0' in figures
    assert "lmsys_log_events" in figures
