"""Which source, embedder, clusterer or namer a request means, by the settings of this process."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from adapters.classifier import AskingClassifier, NearestClassifier, make_batch_classifier
from adapters.database import Database
from adapters.embedder import EmbedderOptions, make_embedder
from adapters.evaluation import make_suggester
from adapters.language_models import LanguageModel, LanguageModels
from adapters.language_models.asking import Equipment
from adapters.language_models.kept import PostgresAnswers
from adapters.language_models.meter import Meter
from adapters.language_models.prices import read_prices
from adapters.language_models.remote import PROVIDERS, SERVICES, RemoteLanguageModel
from adapters.language_models.service import ModelOptions
from adapters.namer import make_namer
from adapters.services.pace import pace_of
from adapters.services.retries import Patience
from adapters.settings import Settings
from adapters.sources import open_file, open_huggingface
from adapters.taxonomist import make_taxonomist
from commands.ports import (
    BatchClassifier,
    Classifier,
    ConversationSource,
    Embedder,
    Namer,
    Suggester,
    Taxonomist,
)
from domain.errors import Invalid, NotFound, Refused

NEAREST = "local/nearest"
KEYLESS = "wordllama/l2_supercat_256"


class SettingsSources:
    """Uploads from the spool, files below the import folder and nowhere else, data sets of the hub."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def open(self, source: Mapping[str, Any], options: Mapping[str, Any]) -> ConversationSource:
        limit, column = options.get("limit"), options.get("text_column")
        if source["kind"] == "huggingface":
            return open_huggingface(
                source["name"],
                token=_secret(self._settings.huggingface_token),
                streaming=options.get("use_streaming") is not False,
                text_column=column,
                limit=limit,
            )
        if source["kind"] == "import":
            path = self.importable(source["path"])
        else:
            path = self._settings.upload_dir / source["file"]
        if not path.exists():
            raise NotFound(f"{source['name']} is not there any more")
        return open_file(
            path, name=source["name"], text_column=column, file_format=options.get("format"), limit=limit
        )

    def release(self, source: Mapping[str, Any]) -> None:
        if source["kind"] == "upload":
            (self._settings.upload_dir / source["file"]).unlink(missing_ok=True)

    def check_importable(self, path: str) -> None:
        self._file(path)

    def lines(self, path: str) -> Iterator[bytes]:
        with self._file(path).open("rb") as lines:
            yield from lines

    def _file(self, path: str) -> Path:
        found: Path = self.importable(path)
        if not found.is_file():
            raise Invalid(f"{path!r} in LMSYS_IMPORT_DIR is no file")
        return found

    def importable(self, path: str) -> Any:  # noqa: ANN401
        """The file or folder of this name below LMSYS_IMPORT_DIR. Raises Refused for any other."""
        root = self._settings.import_dir
        if root is None:
            raise Refused(
                "loading by path is switched off: set LMSYS_IMPORT_DIR to the folder that holds the files"
            )
        found = (root / path).resolve()
        if not found.is_relative_to(root.resolve()):
            raise Refused(f"{path!r} lies outside of LMSYS_IMPORT_DIR")
        if not found.exists():
            raise NotFound(f"there is no {path!r} in LMSYS_IMPORT_DIR")
        return found


class SettingsEmbedders:
    """Embedders with the keys of this process, each made once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._made: dict[tuple[str, str, int | None], Embedder] = {}
        self._lock = threading.Lock()

    def get(self, provider: str, model: str, options: Mapping[str, Any]) -> Embedder:
        self._check_folder(provider, model)
        batch_size = options.get("embed_batch_size") or self._settings.embed_batch_size
        key = (provider, model, batch_size)
        with self._lock:
            if key not in self._made:
                self._made[key] = make_embedder(provider, model, options=self._options(provider, batch_size))
            return self._made[key]

    def check(self, provider: str, model: str) -> None:
        """Raises what `get` raises: nothing is loaded by it, and nobody is called."""
        self.get(provider, model, {})

    def _options(self, provider: str, batch_size: int | None) -> EmbedderOptions:
        keys = {"openai": self._settings.openai_api_key, "openai-compatible": self._settings.openai_api_key}
        keys["cohere"] = self._settings.cohere_api_key
        base_url = self._settings.openai_base_url if provider.startswith("openai") else None
        return EmbedderOptions(
            batch_size=batch_size,
            base_url=base_url,
            api_key=keys.get(provider),
            revision=_mark(base_url),
            cache_dir=self._settings.home / "models",
            threads=self._settings.threads,
        )

    def _check_folder(self, provider: str, model: str) -> None:
        """A request may name a model's folder only where it may name files, or where the settings name it."""
        if provider != "fastembed" or model[0] not in "/.~" or model == self._settings.embedding_model:
            return
        root = self._settings.import_dir
        if root is None or not Path(model).expanduser().resolve().is_relative_to(root.resolve()):
            raise Refused(f"embedding model {model!r}: folders are read below LMSYS_IMPORT_DIR alone")

    def named(self, provider: str | None, model: str | None) -> tuple[str, str]:
        """Provider and model of a request: `provider/model` in one, either alone, or the settings' own."""
        if model and "/" in model and not provider:
            provider, _, model = model.partition("/")
        if not provider and not model:
            return self._settings.embedding_provider, self._settings.embedding_model
        if not model and provider == self._settings.embedding_provider:
            return provider, self._settings.embedding_model
        if not provider or not model:
            raise Invalid("give embedding_model as provider/model, for example wordllama/l2_supercat_256")
        return provider, model


class SettingsClassifiers:
    """Classifiers by model, each made once: what a template comes to is kept in them.

    `local/nearest` goes by the embedder that needs no key, `local/nearest@PROVIDER/MODEL` by another; every
    other provider's is a language model.
    """

    def __init__(self, embedders: SettingsEmbedders, language_models: LanguageModels) -> None:
        self._embedders, self._language_models = embedders, language_models
        self._made: dict[str, Classifier] = {}
        self._lock = threading.Lock()

    def get(self, model: str) -> Classifier:
        with self._lock:
            if model not in self._made:
                self._made[model] = self._make(model)
            return self._made[model]

    def _make(self, model: str) -> Classifier:
        name, _, embedder = model.partition("@")
        if name != NEAREST:
            local = f"{NEAREST}, {NEAREST}@PROVIDER/MODEL"
            return AskingClassifier(self._language_models.get(model, local))
        provider, _, of_provider = (embedder or KEYLESS).partition("/")
        return NearestClassifier(self._embedders.get(provider, of_provider, {}), model)

    @staticmethod
    def named(provider: str | None, model: str | None) -> str:
        """`provider/model` of a request: in one, in two, or the local one where nothing is named."""
        if provider is None or model is None:
            return model or (NEAREST if provider in (None, "local") else f"{provider}/")
        return f"{provider}/{model.removeprefix(provider + '/')}"


class SettingsBatchClassifiers:
    """Batches of the providers that have them, each made once."""

    def __init__(self, language_models: SettingsLanguageModels) -> None:
        self._language_models = language_models
        self._made: dict[str, BatchClassifier] = {}
        self._lock = threading.Lock()

    def get(self, model: str) -> BatchClassifier:
        with self._lock:
            if model not in self._made:
                models = self._language_models
                self._made[model] = make_batch_classifier(model, models.options, models.prices)
            return self._made[model]


class SettingsNamers:
    """The local namer, or one that asks a language model."""

    def __init__(self, language_models: LanguageModels) -> None:
        self._language_models = language_models

    def get(self, model: str) -> Namer:
        return make_namer(model, self._language_models)


class SettingsLanguageModels:
    """Models of providers with the keys of this process, each made once."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self.meter = Meter(database)
        self._answers = PostgresAnswers(database, settings.answers_days)
        self.prices = read_prices(settings.prices_table)
        self._made: dict[str, RemoteLanguageModel] = {}
        self._lock = threading.Lock()

    def get(self, name: str, local: str = "") -> LanguageModel:
        """Nobody is called by it."""
        provider, _, model = name.partition("/")
        if provider not in SERVICES or not model:
            known = f"{local and f'{local}, or '}provider/model of {', '.join(PROVIDERS)}"
            raise Invalid(f"model {name!r} is not known: name {known}")
        with self._lock:
            if name not in self._made:
                self._made[name] = self._make(provider, model)
            return self._made[name]

    def options(self, provider: str) -> ModelOptions:
        """How the provider is reached, and with which key."""
        family = "openai" if provider == "openai-compatible" else provider
        return ModelOptions(
            base_url=getattr(self._settings, f"{family}_base_url"),
            api_key=getattr(self._settings, f"{family}_api_key", None),
            timeout_s=self._settings.model_timeout,
            patience=Patience(base_s=self._settings.model_retry_wait),
        )

    def close(self) -> None:
        for model in self._made.values():
            model.close()

    def _make(self, provider: str, model: str) -> RemoteLanguageModel:
        options = self.options(provider)
        return RemoteLanguageModel(
            Equipment(
                service=SERVICES[provider](provider, model, options),
                patience=options.patience,
                prices=self.prices,
                pace=pace_of(f"ask {provider} {options.base_url}"),
                answers=self._answers,
                measure=self.meter.add,
            )
        )


class SettingsSuggesters:
    """The local suggester, or one that asks a language model."""

    def __init__(self, language_models: LanguageModels) -> None:
        self._language_models = language_models

    def get(self, model: str) -> Suggester:
        return make_suggester(model, self._language_models)


class SettingsTaxonomists:
    """The local taxonomist, or one that asks a language model."""

    def __init__(self, language_models: LanguageModels) -> None:
        self._language_models = language_models

    def get(self, model: str) -> Taxonomist:
        return make_taxonomist(model, self._language_models)


def _mark(base_url: str | None) -> str | None:
    """Tells services apart that give one name to different models. Not the URL, which may hold a key."""
    return hashlib.sha256(base_url.encode()).hexdigest()[:8] if base_url else None


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value else None
