"""A suggestion by the real clients of providers: what does not fit is asked for again, no case is quoted."""

from __future__ import annotations

import pytest

from adapters.bootstrap import HANDLERS, Container
from adapters.providers import SettingsLanguageModels, SettingsSuggesters
from commands.bus import Bus
from commands.evaluation import RequestSuggestion, run_suggestion
from domain.errors import Refused
from domain.evaluation import Suggestion
from tests.evaluating import AT, CASES, Scripted, freeze, put_template, request, work
from tests.protocols.server import ProtocolServer, Refusal, Status

QUOTED = CASES[3].text or ""
ANSWER = {
    "analysis": f"Refunds look like orders: {QUOTED}.",
    "suggestions": ["Say what a refund is."],
    "priority_categories": ["REFUND"],
    "descriptions": [{"label": "REFUND", "description": "money that goes back"}],
    "draft_prompt": "Label this ticket.\nThe ticket: {text}",
}


@pytest.fixture
def container(shared: Container) -> Container:
    return shared


def asked_for(container: Container, models: SettingsLanguageModels, model: str) -> tuple[str, Bus]:
    run_id = request(container, Scripted(), put_template(container), freeze(container))
    work(container, Scripted(), run_id)
    needs = {**container.needs, "suggesters": SettingsSuggesters(models)}
    bus = Bus(container.store, HANDLERS, needs)
    receipt = bus.handle(RequestSuggestion(evaluation_run_id=run_id, model=model, at=AT))
    return str(receipt.answer["suggestion_id"]), bus


def suggest(container: Container, suggestion_id: str, bus: Bus, models: SettingsLanguageModels) -> None:
    run_suggestion(
        suggestion_id,
        bus=bus,
        store=container.store,
        contents=container.contents,
        suggesters=SettingsSuggesters(models),
    )


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_draft_that_does_not_fit_is_asked_for_again(
    container: Container,
    language_models: SettingsLanguageModels,
    provider: str,
    request: pytest.FixtureRequest,
) -> None:
    server: ProtocolServer = request.getfixturevalue(provider)
    server.script.extend([Status(429, retry_after=0.01), {**ANSWER, "draft_prompt": "Label this."}, ANSWER])
    suggestion_id, bus = asked_for(container, language_models, f"{provider}/some-model")
    suggest(container, suggestion_id, bus, language_models)
    assert "lacks {text}" in str(server.asked[2].complaint)
    suggestion = container.store.load(Suggestion, suggestion_id)
    assert suggestion.draft is not None
    assert suggestion.draft.prompt == "Label this ticket.\nThe ticket: {text}"
    assert suggestion.draft.descriptions == {"REFUND": "money that goes back"}
    (made,) = container.store.events(Suggestion, suggestion_id, [2]).values()
    assert made.analysis.startswith("Refunds look like orders: …")
    assert QUOTED not in str(vars(made))
    assert made.prompt.startswith("suggest.v1@")
    assert made.usage["calls"] == 3


def test_a_model_that_will_not_is_no_suggestion(
    container: Container, language_models: SettingsLanguageModels, openai: ProtocolServer
) -> None:
    openai.answer = lambda asked: Refusal()
    suggestion_id, bus = asked_for(container, language_models, "openai/some-model")
    with pytest.raises(Refused, match="gave no suggestion"):
        suggest(container, suggestion_id, bus, language_models)
    assert container.store.load(Suggestion, suggestion_id).status == "pending"
