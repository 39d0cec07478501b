"""Servers, and what asks them. `tests/conftest.py` makes these known to all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from adapters.database import Database
from adapters.providers import SettingsLanguageModels
from adapters.settings import Settings
from tests.protocols.dialects import Anthropic, Cohere, OpenAI
from tests.protocols.server import KEY, ProtocolServer, serving

OtherModels = Callable[..., SettingsLanguageModels]


@pytest.fixture
def anthropic() -> Iterator[ProtocolServer]:
    with serving(Anthropic()) as server:
        yield server


@pytest.fixture
def openai() -> Iterator[ProtocolServer]:
    with serving(OpenAI()) as server:
        yield server


@pytest.fixture
def cohere() -> Iterator[ProtocolServer]:
    with serving(Cohere()) as server:
        yield server


@pytest.fixture
def provider_settings(
    settings: Settings, anthropic: ProtocolServer, openai: ProtocolServer, cohere: ProtocolServer
) -> Settings:
    return pointed_at(settings, anthropic, openai, cohere)


def pointed_at(
    settings: Settings, anthropic: ProtocolServer, openai: ProtocolServer, cohere: ProtocolServer
) -> Settings:
    """With the servers in place of the providers, keys that they take, and little patience."""
    key = SecretStr(KEY)
    return settings.model_copy(
        update={
            "anthropic_base_url": anthropic.url,
            "openai_base_url": f"{openai.url}/v1",
            "groq_base_url": f"{openai.url}/openai/v1",
            "ollama_base_url": f"{openai.url}/ollama/v1",
            "cohere_base_url": cohere.url,
            **dict.fromkeys(("anthropic_api_key", "openai_api_key", "groq_api_key", "cohere_api_key"), key),
            "model_timeout": 5.0,
            "model_retry_wait": 0.01,
        }
    )


@pytest.fixture
def other_models(provider_settings: Settings) -> Iterator[OtherModels]:
    """The port out of these settings, changed; closed in the end."""
    database = Database(
        str(provider_settings.database_url and provider_settings.database_url.get_secret_value())
    )
    made = []

    def make(**changes: Any) -> SettingsLanguageModels:  # noqa: ANN401
        made.append(SettingsLanguageModels(provider_settings.model_copy(update=changes), database))
        return made[-1]

    yield make
    for models in made:
        models.close()
    database.close()


@pytest.fixture
def language_models(other_models: OtherModels) -> SettingsLanguageModels:
    return other_models()
