"""Whatever fits the OpenAPI document, and much that does not, is answered as the document says."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case, checks

from adapters.settings import read_settings
from api.app import create_app
from tests.journeys.conftest import Server, jsonl, rows
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
"""Not asked: that keys are needed (they are off), nor that whatever fits the schema is accepted (a run that
does not exist fits it)."""

schema = (
    schemathesis.openapi.from_dict(create_app(read_settings()).openapi())
    .exclude(tag="planned")
    .exclude(path_regex=SLOW)
)


@pytest.fixture(scope="module")
def with_a_run(running: Server, tmp_path_factory: pytest.TempPathFactory) -> Server:
    load(running, jsonl(tmp_path_factory.mktemp("contract") / "chats.jsonl", rows(20)), "default")
    clustered(running, "default", 2)
    return running


@schema.parametrize()
@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_the_server_does_what_the_document_says(case: Case, with_a_run: Server) -> None:
    case.call_and_validate(base_url=with_a_run.url, checks=CHECKS)
