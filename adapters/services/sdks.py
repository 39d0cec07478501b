"""What the clients of providers raise, as what it means."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from adapters.services.answers import Transient, failure, quoted
from domain.errors import Refused

COHERE_URL = "https://api.cohere.com"


@contextmanager
def heard(sdk: Any, service: str, key: str | None, wanted: str) -> Iterator[None]:  # noqa: ANN401
    """Errors of the SDKs of OpenAI and Anthropic, which one generator wrote, as `Transient` and `Refused`.

    `wanted` names what an answer should have been.
    """
    try:
        yield
    except sdk.APIStatusError as error:
        raise failure(service, error.status_code, _said(error), error.response.headers, key) from None
    except sdk.APITimeoutError:
        raise Transient("it did not answer in time", kind="timeout") from None
    except sdk.APIConnectionError as error:
        raise _broken(error.__cause__ or error, key) from None
    except (AttributeError, TypeError, ValueError, sdk.APIError) as error:
        raise _malformed(error, key, wanted) from None


@contextmanager
def heard_of_cohere(service: str, key: str | None, wanted: str) -> Iterator[None]:
    """The same of Cohere's."""
    import httpx
    from cohere.core.api_error import ApiError

    try:
        yield
    except ApiError as error:
        status = error.status_code or 0
        if 200 <= status < 300:
            raise Transient("it answered what is no JSON", kind="malformed") from None
        said = error.body.get("message", error.body) if isinstance(error.body, dict) else error.body
        raise failure(service, status, str(said), error.headers or {}, key) from None
    except httpx.TimeoutException:
        raise Transient("it did not answer in time", kind="timeout") from None
    except httpx.HTTPError as error:
        raise _broken(error, key) from None
    except (AttributeError, TypeError, ValueError) as error:
        raise _malformed(error, key, wanted) from None


def cohere_client(key: str | None, base_url: str | None, connections: Any) -> Any:  # noqa: ANN401  (imported late)
    """Its connections are given, so that they can be closed."""
    try:
        import cohere
    except ImportError as error:
        raise Refused(
            "the provider cohere is not installed: pip install 'lmsys-query-analysis[cohere]'"
        ) from error
    return cohere.ClientV2(
        api_key=key,
        base_url=base_url or COHERE_URL,
        httpx_client=connections,
        log_warning_experimental_features=False,
    )


NO_RETRIES = {"max_retries": 0}
"""`request_options` for Cohere: the client's own retries wait at its discretion."""


def _said(error: Any) -> str:  # noqa: ANN401
    """The service's own words, where it has some: one SDK hands over the body, the other its `error`."""
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("error", body)
    words = inner.get("message") if isinstance(inner, dict) else inner
    code = f" ({error.code})" if getattr(error, "code", None) else ""
    return f"{words or error.message}{code}"


def _broken(error: BaseException, key: str | None) -> Transient:
    return Transient(quoted(f"no connection, or one that broke: {error!r}", key))


def _malformed(error: BaseException, key: str | None, wanted: str) -> Transient:
    return Transient(quoted(f"it answered what is no {wanted}: {error!r}", key), kind="malformed")
