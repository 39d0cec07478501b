"""Everything that is set from outside, once, typed and frozen. No other module reads the environment."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ByteSize, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from domain.errors import Invalid

PREFIX = "LMSYS_"
_RATE = r"^[1-9]\d*/(second|minute|hour|day)$"


class Settings(BaseSettings):
    """The field `port` is the variable `LMSYS_PORT`; the keys of providers keep the names everybody uses.

    A description is a line of docs/settings.md. Use `read_settings` to get errors that name the variable.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        validate_by_name=True,
        env_ignore_empty=True,
    )

    home: Path = Field(
        default=Path("~/.lmsys-query-analysis"),
        validate_default=True,
        description="Folder of the embedded Postgres and Qdrant, of uploads and exports.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="`postgresql://user:password@host:port/name` of a Postgres 15 or later, in place of the "
        "embedded one.",
    )
    qdrant_url: str | None = Field(
        default=None, description="URL of a Qdrant server or cluster, in place of the embedded engine."
    )
    qdrant_api_key: SecretStr | None = Field(default=None, description="Key of that Qdrant.")

    host: str = Field(
        default="127.0.0.1",
        description="Address the API listens on. Another than the loopback needs `LMSYS_AUTH=true`.",
    )
    port: int = Field(default=8000, ge=1, le=65535, description="Port the API listens on.")
    auth: bool = Field(default=False, description="Whether a request needs an API key.")
    insecure: bool = Field(
        default=False,
        description="Allow listening on an address that others reach although no API key is asked for.",
    )
    cors_origins: Annotated[list[str], NoDecode] = Field(
        default=[], description="Origins, comma-separated, whose pages may call the API from a browser."
    )
    upload_rate: str = Field(
        default="30/minute", pattern=_RATE, description="Uploads that one caller may begin, per unit of time."
    )
    predict_rate: str = Field(
        default="120/minute", pattern=_RATE, description="Predictions that one caller may ask for."
    )
    max_upload_bytes: ByteSize = Field(
        default=ByteSize(4 * 1024**3), gt=0, description="Largest upload; `4GiB` works as well."
    )
    max_body_bytes: ByteSize = Field(
        default=ByteSize(1024**2),
        gt=0,
        description="Largest body of any other request; `1MiB` works as well.",
    )
    import_dir: Path | None = Field(
        default=None,
        description="The one folder from which the API may load files by their path; none where unset.",
    )
    dev_reset: bool = Field(
        default=False, description="Allow `POST /api/dev/reset`, which deletes everything."
    )

    api_url: str = Field(default="http://127.0.0.1:8000", description="Where the command line finds the API.")
    api_key: SecretStr | None = Field(default=None, description="API key the command line sends.")
    wait_timeout: float = Field(
        default=5.0,
        ge=0,
        description="Seconds that a command waits for the read models to show what it has changed.",
    )
    lock_timeout_ms: int = Field(
        default=2000,
        gt=0,
        description="Milliseconds that a write waits for a lock of the database before it answers 503.",
    )

    worker_concurrency: int = Field(default=2, ge=1, description="Jobs that a worker runs at once.")
    threads: int = Field(
        default=1,
        ge=1,
        description="BLAS and OpenMP threads per job; keep jobs times threads within the cores.",
    )
    job_heartbeat_seconds: float = Field(
        default=2.0, gt=0, description="Seconds between signs of life of a job."
    )
    job_stalled_seconds: float = Field(
        default=10.0, gt=0, description="Seconds of silence after which a job is given to another worker."
    )
    embedding_provider: str = Field(
        default="wordllama", description="Embedder where a request names none; this one needs no key."
    )
    embedding_model: str = Field(default="l2_supercat_256", description="Its model.")
    embed_batch_size: int | None = Field(
        default=None, ge=1, description="Texts per call of an embedder; each has its own default."
    )
    model_timeout: float = Field(
        default=120.0, gt=0, description="Seconds that a language model may take for one answer."
    )
    model_retry_wait: float = Field(
        default=0.5,
        gt=0,
        description="Seconds before a request to a language model is made again; doubled each time.",
    )
    answers_days: int = Field(
        default=90, ge=0, description="Days that answers of language models are kept to be used again."
    )
    prices_file: Path | None = Field(
        default=None,
        description="Prices of language models; `prices.yaml` in `LMSYS_HOME` where unset and there.",
    )
    openai_base_url: str | None = Field(
        default=None, description="URL of another service that speaks OpenAI's protocol."
    )
    anthropic_base_url: str | None = Field(
        default=None, description="URL of a proxy that speaks Anthropic's protocol."
    )
    cohere_base_url: str | None = Field(
        default=None, description="URL of a proxy that speaks Cohere's protocol."
    )
    groq_base_url: str | None = Field(default=None, description="URL of a proxy for Groq, with `/openai/v1`.")
    ollama_base_url: str | None = Field(
        default=None, description="URL of Ollama where it is not on this machine, with `/v1`."
    )
    openai_api_key: SecretStr | None = Field(
        default=None, validation_alias="OPENAI_API_KEY", description="Key for OpenAI, or for that service."
    )
    anthropic_api_key: SecretStr | None = Field(
        default=None, validation_alias="ANTHROPIC_API_KEY", description="Key for Anthropic."
    )
    cohere_api_key: SecretStr | None = Field(
        default=None, validation_alias="COHERE_API_KEY", description="Key for Cohere."
    )
    groq_api_key: SecretStr | None = Field(
        default=None, validation_alias="GROQ_API_KEY", description="Key for Groq."
    )
    huggingface_token: SecretStr | None = Field(
        default=None,
        validation_alias="HUGGINGFACE_TOKEN",
        description="Token for data sets of the Hugging Face hub that ask for one.",
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="`DEBUG`, `INFO`, `WARNING` or `ERROR`."
    )
    log_json: bool = Field(
        default=True, description="Log as JSON lines; `false` for lines to be read by eye."
    )

    @property
    def export_dir(self) -> Path:
        return self.home / "exports"

    @property
    def upload_dir(self) -> Path:
        """Where uploads wait for their job, by whose id they are named."""
        return self.home / "uploads"

    @property
    def prices_table(self) -> Path | None:
        """The file of prices that goes before those that come with the program, where there is one."""
        at_home = self.home / "prices.yaml"
        return self.prices_file or (at_home if at_home.exists() else None)

    @field_validator("home", "import_dir", "prices_file")
    @classmethod
    def _whole_path(cls, path: Path | None) -> Path | None:
        return path.expanduser().absolute() if path else None

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        return (
            [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value
        )

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _no_open_door(self) -> Self:
        if not (self.auth or self.insecure or _is_loopback(self.host)):
            raise ValueError(
                f"LMSYS_HOST={self.host} lets others reach the API without a key: "
                f"set LMSYS_AUTH=true, or say LMSYS_INSECURE=true"
            )
        return self

    @model_validator(mode="after")
    def _silence_is_longer_than_a_beat(self) -> Self:
        if self.job_stalled_seconds <= self.job_heartbeat_seconds:
            raise ValueError("LMSYS_JOB_STALLED_SECONDS must be greater than LMSYS_JOB_HEARTBEAT_SECONDS")
        return self


def read_settings(**given: object) -> Settings:
    """The settings of this process; what is `given` (by options of a command) goes before the environment.

    Raises `Invalid` that names each variable that is wrong, never its value.
    """
    try:
        return Settings(**given)  # type: ignore[arg-type]  # what does not fit is refused below
    except ValidationError as error:
        details = [{"variable": _variable(e["loc"]), "message": e["msg"]} for e in error.errors()]
        lines = [f"{d['variable']}: {d['message']}" if d["variable"] else d["message"] for d in details]
        raise Invalid("; ".join(lines).replace("Value error, ", ""), details) from None


def variable_of(field: str) -> str:
    """The environment variable that a field is read from."""
    return str(Settings.model_fields[field].validation_alias or f"{PREFIX}{field.upper()}")


def _variable(location: tuple[int | str, ...]) -> str:
    name = str(location[0]) if location else ""
    return variable_of(name) if name in Settings.model_fields else name


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
