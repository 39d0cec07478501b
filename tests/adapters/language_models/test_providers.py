"""The real SDKs against servers that speak the providers' protocols."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from adapters.bootstrap import Container
from adapters.evaluation import make_suggester
from adapters.language_models import LanguageModel
from adapters.namer import make_namer
from adapters.providers import SettingsLanguageModels
from adapters.taxonomist import make_taxonomist
from domain.errors import Invalid, Refused, UpstreamRefused
from tests.adapters.language_models.questions import RIGHT, SCHEMA, ask, ask_one, question
from tests.protocols.dialects import Anthropic, Cohere, OpenAI
from tests.protocols.fixtures import OtherModels, pointed_at
from tests.protocols.server import KEY, CutOff, Hang, ProtocolServer, Refusal, Status, TooLong, Words, serving

PROVIDERS = ["anthropic", "cohere", "openai", "openai-compatible"]


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, ProtocolServer]]:
    with serving(Anthropic()) as anthropic, serving(OpenAI()) as openai, serving(Cohere()) as cohere:
        yield {"anthropic": anthropic, "cohere": cohere, "openai": openai, "openai-compatible": openai}


@pytest.fixture(scope="module")
def models(shared: Container, servers: dict[str, ProtocolServer]) -> Iterator[SettingsLanguageModels]:
    """Shared by all tests, as are the servers: to make a client takes longer than a test."""
    settings = pointed_at(shared.settings, servers["anthropic"], servers["openai"], servers["cohere"])
    made = SettingsLanguageModels(settings, shared.database)
    yield made
    made.close()


@pytest.fixture
def service(provider: str, servers: dict[str, ProtocolServer], shared: Container) -> ProtocolServer:
    """As if nobody had asked it anything."""
    servers[provider].reset()
    with shared.database.connection() as connection:
        connection.execute("DELETE FROM ops.answers")
    return servers[provider]


@pytest.fixture
def model(provider: str, models: SettingsLanguageModels) -> LanguageModel:
    return models.get(f"{provider}/some-model")


def test_the_answer_is_what_the_model_said(
    model: LanguageModel, service: ProtocolServer, provider: str
) -> None:
    service.answer = lambda asked: RIGHT
    answer = ask_one(model)
    assert (answer.value, answer.error) == (RIGHT, None)
    asked = service.asked[0]
    assert (asked.system, asked.text, asked.model) == (
        "You label questions.",
        "Where is my money?",
        "some-model",
    )
    assert asked.schema["properties"] == SCHEMA["properties"]
    assert sorted(asked.schema["required"]) == SCHEMA["required"]
    assert model.name == f"{provider}/some-model"


def test_tokens_and_calls_are_counted(model: LanguageModel, service: ProtocolServer) -> None:
    service.script.extend([Status(503), RIGHT])
    usage = ask_one(model).usage
    assert (usage.calls, usage.input_tokens, usage.output_tokens, usage.cached) == (2, 7, 7, 0)
    assert usage.seconds > 0


def test_braces_in_a_text_are_no_template(model: LanguageModel, service: ProtocolServer) -> None:
    text = "{{ 7 * 7 }} {% raw %} https://example.org/a.png"
    assert ask_one(model, text=text).value
    assert service.asked[0].text == text


def test_an_answer_that_does_not_fit_is_asked_again_with_what_is_wrong(
    model: LanguageModel, service: ProtocolServer
) -> None:
    service.script.extend([{"label": "money", "reasoning": "?"}, {"label": "refund"}, RIGHT])
    answer = ask_one(model)
    assert answer.value == RIGHT
    first, second, third = (asked.complaint for asked in service.asked)
    assert first is None
    assert second
    assert "'money' is not one of ['refund', 'other']" in second
    assert third
    assert "'reasoning' is a required property" in third
    assert answer.usage.calls == 3


def test_the_question_itself_can_say_what_is_wrong(model: LanguageModel, service: ProtocolServer) -> None:
    service.script.extend([RIGHT, {"label": "other", "reasoning": "r"}])
    said = {"refund": "a refund was ruled out before"}
    answer = ask_one(model, check=lambda value: said.get(value["label"]))
    assert answer.value == {"label": "other", "reasoning": "r"}
    assert "a refund was ruled out before" in (service.asked[1].complaint or "")


def test_words_in_place_of_an_object_are_an_answer_that_does_not_fit(
    model: LanguageModel, service: ProtocolServer
) -> None:
    service.script.extend([Words("I think it is a refund"), RIGHT])
    assert ask_one(model).value == RIGHT
    assert service.asked[1].complaint


def test_a_model_that_does_not_get_it_right_is_an_error_of_that_question_alone(
    model: LanguageModel, service: ProtocolServer
) -> None:
    wrong = {"label": "the money that I never got back from you", "reasoning": "?"}
    service.answer = lambda asked: wrong if asked.text == "a" else RIGHT
    answers = ask(model, [question("a", "a"), question("b", "b")], concurrency=1)
    assert answers["a"].value is None
    assert answers["a"].error == "3 answers did not fit what was asked for"
    assert answers["a"].usage.calls == 3
    assert answers["b"].value == RIGHT


def test_429_is_asked_again_no_sooner_than_the_provider_says(
    model: LanguageModel, service: ProtocolServer
) -> None:
    service.script.append(Status(429, "slow down", retry_after=0.3))
    assert ask_one(model).value
    assert service.asked[1].at - service.asked[0].at >= 0.3


@pytest.mark.parametrize("status", [408, 500, 503, 529])
def test_what_passes_is_asked_again(model: LanguageModel, service: ProtocolServer, status: int) -> None:
    service.script.extend([Status(status)] * 2)
    assert ask_one(model).value
    assert len(service.asked) == 3


@pytest.mark.parametrize("cut", [1, 40])
def test_an_answer_that_breaks_off_is_asked_again(
    model: LanguageModel, service: ProtocolServer, cut: int
) -> None:
    service.script.append(CutOff(cut))
    assert ask_one(model).value
    assert len(service.asked) == 2


@pytest.mark.parametrize("name", ["anthropic/m", "cohere/m", "openai/m"])
def test_no_answer_in_time_is_asked_again(
    other_models: OtherModels, request: pytest.FixtureRequest, name: str
) -> None:
    service: ProtocolServer = request.getfixturevalue(name.split("/")[0])
    service.script.append(Hang())
    assert ask_one(other_models(model_timeout=0.5).get(name)).value
    assert len(service.asked) == 2


def test_what_does_not_pass_is_an_error_after_so_many_tries(
    model: LanguageModel, service: ProtocolServer
) -> None:
    service.answer = lambda asked: Status(429, "overloaded", retry_after=0)
    answer = ask_one(model)
    assert answer.value is None
    assert answer.error
    assert answer.error.startswith(f"{model.name} gave no answer (6 tries): it answered HTTP 429")
    assert answer.passes
    assert len(service.asked) == answer.usage.calls == 6


def test_a_wait_that_is_too_long_is_not_waited(model: LanguageModel, service: ProtocolServer) -> None:
    service.script.append(Status(429, retry_after=3_600))
    assert "asks to wait 3600 s" in (ask_one(model).error or "")
    assert len(service.asked) == 1


def test_a_refusal_of_the_model_is_an_error_of_that_question(
    provider: str, service: ProtocolServer, model: LanguageModel
) -> None:
    if provider == "cohere":
        return
    service.script.append(Refusal())
    answer = ask_one(model)
    assert (answer.value, answer.error) == (None, "the model refused to answer")
    assert answer.usage.output_tokens == 7


def test_an_answer_that_the_bound_on_tokens_cut_off_is_an_error(
    model: LanguageModel, service: ProtocolServer
) -> None:
    service.script.append(TooLong())
    assert ask_one(model, max_tokens=5).error == "the answer was cut off after 5 tokens"
    bound = {"max_tokens", "max_completion_tokens"} & service.asked[0].body.keys()
    assert [service.asked[0].body[name] for name in bound] == [5]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_concerns_every_question_is_raised_without_the_key(
    model: LanguageModel, service: ProtocolServer, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    service.answer = lambda asked: Status(status, f"no, not with {KEY}")
    with pytest.raises(
        UpstreamRefused, match=rf"{model.name} refused: HTTP {status}: no, not with \[key\]"
    ) as refused:
        ask(model, [question(number, str(number)) for number in range(100)], concurrency=2)
    assert len(service.asked) <= 4
    assert KEY not in repr(refused.value) + caplog.text


def test_what_concerns_one_question_is_its_error(model: LanguageModel, service: ProtocolServer) -> None:
    service.answer = lambda asked: Status(400, "prompt is too long") if asked.text == "a" else RIGHT
    answers = ask(model, [question("a", "a"), question("b", "b")])
    assert "refused: HTTP 400: " in (answers["a"].error or "")
    assert "prompt is too long" in (answers["a"].error or "")
    assert not answers["a"].passes
    assert answers["b"].value == RIGHT


def test_a_provider_that_repeats_what_it_was_sent_is_not_quoted(
    model: LanguageModel, service: ProtocolServer, caplog: pytest.LogCaptureFixture
) -> None:
    text = "my name is Erika Mustermann and I live in Heidestrasse 17"
    service.answer = lambda asked: Status(422, f"cannot take {asked.text!r}")
    answer = ask_one(model, text=text)
    assert "HTTP 422" in (answer.error or "")
    assert "Mustermann" not in (answer.error or "")


def test_answers_that_do_not_fit_are_not_logged(
    model: LanguageModel, service: ProtocolServer, caplog: pytest.LogCaptureFixture
) -> None:
    service.answer = lambda asked: {"label": "Erika Mustermann"}
    ask_one(model)
    assert "Mustermann" not in caplog.text


# --- one provider at a time


def test_the_key_goes_out_as_each_provider_wants_it(
    language_models: SettingsLanguageModels, anthropic: ProtocolServer, openai: ProtocolServer
) -> None:
    for name in ("anthropic/m", "groq/openai/gpt-oss-20b", "ollama/m"):
        assert ask_one(language_models.get(name)).value
    sent = anthropic.asked[0].headers
    assert KEY in (sent.get("x-api-key"), sent["authorization"].removeprefix("Bearer "))
    assert [asked.headers["authorization"] for asked in openai.asked] == [f"Bearer {KEY}", "Bearer none"]
    assert [asked.model for asked in openai.asked] == ["openai/gpt-oss-20b", "m"]


def test_an_empty_account_is_refused_at_once(
    language_models: SettingsLanguageModels, openai: ProtocolServer
) -> None:
    openai.answer = lambda asked: Status(429, "You exceeded your current quota", code="insufficient_quota")
    with pytest.raises(Refused, match="exceeded your current quota"):
        ask_one(language_models.get("openai/m"))


@pytest.mark.parametrize(
    ("make", "local"),
    [
        (make_namer, "local/c-tf-idf"),
        (make_suggester, "local/confusion"),
        (make_taxonomist, "local/agglomerative"),
    ],
)
@pytest.mark.parametrize("name", ["local/magic", "none/such", "openai/"])
def test_of_an_unknown_model_the_known_ones_are_named(
    language_models: SettingsLanguageModels, make: Callable[..., Any], local: str, name: str
) -> None:
    known = "anthropic, cohere, groq, ollama, openai, openai-compatible"
    with pytest.raises(Invalid) as refused:
        make(name, language_models)
    assert refused.value.message == (
        f"model '{name}' is not known: name {local}, or provider/model of {known}"
    )
    assert make("local", language_models).model == local


@pytest.mark.parametrize(
    ("name", "unset", "variable"),
    [
        ("anthropic/m", "anthropic_api_key", "ANTHROPIC_API_KEY"),
        ("cohere/m", "cohere_api_key", "COHERE_API_KEY"),
        ("groq/m", "groq_api_key", "GROQ_API_KEY"),
        ("openai/m", "openai_api_key", "OPENAI_API_KEY"),
        ("openai-compatible/m", "openai_base_url", "LMSYS_OPENAI_BASE_URL"),
    ],
)
def test_a_provider_that_is_not_set_up_is_refused(
    other_models: OtherModels, name: str, unset: str, variable: str
) -> None:
    with pytest.raises(Refused, match=f"set {variable}"):
        other_models(**{unset: None}).get(name)


@pytest.mark.parametrize("name", ["gpt-4o", "openai/", "mistral/large", ""])
def test_a_name_that_is_none_is_invalid(language_models: SettingsLanguageModels, name: str) -> None:
    with pytest.raises(Invalid, match=r"name provider/model of anthropic, cohere, groq, ollama, openai"):
        language_models.get(name)


def test_an_extra_that_is_not_installed_is_named(
    language_models: SettingsLanguageModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cohere", None)
    with pytest.raises(Refused, match=r"pip install 'lmsys-query-analysis\[cohere\]'"):
        language_models.get("cohere/m")


def test_a_schema_that_is_none_or_that_leads_elsewhere_is_invalid(
    language_models: SettingsLanguageModels, openai: ProtocolServer
) -> None:
    model = language_models.get("openai/m")
    with pytest.raises(Invalid, match="is no JSON schema"):
        ask_one(model, schema={"type": "thing"})
    openai.answer = lambda asked: RIGHT
    with pytest.raises(Invalid, match="refers to what is not in it"):
        ask_one(model, schema={"type": "object", "properties": {"label": {"$ref": "http://127.0.0.1:1/x"}}})
