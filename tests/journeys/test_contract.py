"""Whatever fits the OpenAPI document, and much that does not, is answered as the document says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode, SerializationContext, checks
from schemathesis.config import SchemathesisConfig

from adapters.settings import read_settings
from api.app import create_app
from tests.journeys.conftest import Server, jsonl, rows, serving
from tests.journeys.test_main_job import clustered, load

SLOW = r"/(rebuild|verify|reset)$"
"""Each starts a process of its own; the main job tells of them."""

checks.load_all_checks()
CHECKS = [
    checks.CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
    )
]
"""Not asked: that keys are needed (they are off, and any key will do), nor that whatever fits the schema is
accepted (a run that does not exist fits it)."""

REFUSALS = {"negative_data_rejection": {"expected-statuses": ["4xx", "5xx"]}}
"""Also 413: what does not fit may be too large as well."""

REJECTION = checks.CHECKS.get_one("negative_data_rejection")

NDJSON = "application/x-ndjson"
PARTS = (NDJSON, "multipart/form-data")
"""What is wrong with a line or a file of these is told beside the answers to the others, with 200."""

schema = schemathesis.openapi.from_dict(
    create_app(read_settings()).openapi(),
    config=SchemathesisConfig.from_dict(
        {"checks": REFUSALS, "generation": {"with-security-parameters": False}}
    ),
).exclude(path_regex=SLOW)
OPERATIONS = {found.ok().label: found.ok() for found in schema.get_all_operations()}
SENT = [
    (name, mode)
    for name, operation in OPERATIONS.items()
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or [*operation.body, *operation.query]
]
"""Where there is only a path, any text is a request."""


@schemathesis.serializer(NDJSON)
def one_line(ctx: SerializationContext, value: Any) -> bytes:  # noqa: ANN401
    return json.dumps(value).encode()


@pytest.fixture(scope="module")
def with_a_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own, for it is asked for many jobs; none of them shall look for the hub."""
    folder = tmp_path_factory.mktemp("contract")
    with serving(folder / "home", LMSYS_UPLOAD_RATE="100000/minute", HF_HUB_OFFLINE="1") as server:
        load(server, jsonl(folder / "chats.jsonl", rows(20)), "default")
        clustered(server, "default", 2)
        yield server


@pytest.mark.parametrize(("name", "mode"), SENT)
def test_the_server_does_what_the_document_says(
    name: str, mode: GenerationMode, with_a_run: Server, request: pytest.FixtureRequest
) -> None:
    examples = 40 if request.config.getoption("--long") else 3

    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=OPERATIONS[name].as_strategy(mode))
    def check(case: Case) -> None:
        excluded = [REJECTION] if case.media_type in PARTS else []
        case.call_and_validate(base_url=with_a_run.url, checks=CHECKS, excluded_checks=excluded)

    check()
