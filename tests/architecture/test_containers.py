"""docker-compose.yml and Dockerfile: valid, healthy, without secrets, in step with settings and packages."""

import json
import re
import subprocess
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from adapters.settings import Settings, read_settings, variable_of
from domain.errors import Invalid

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text()).splitlines()
INSTRUCTIONS = [tuple(line.split(maxsplit=1)) for line in DOCKERFILE if line and not line.startswith("#")]
STAGES = [i for i, (word, _) in enumerate(INSTRUCTIONS) if word == "FROM"]
IMAGE = INSTRUCTIONS[STAGES[-1] :]


def last(word: str) -> str:
    return [rest for found, rest in IMAGE if found == word][-1]


def published_schema() -> dict[str, Any]:
    vendored = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema: dict[str, Any] = json.loads(vendored.read_text())
    return schema


def test_it_is_what_the_compose_specification_allows() -> None:
    jsonschema.validate(COMPOSE, published_schema())


def test_the_schema_sees_what_is_wrong() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"services": {"api": {"helthcheck": {}}}}, published_schema())


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_comes_back_keeps_its_data_and_says_how_it_is(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["volumes"]
    assert service["healthcheck"].get("test") or not service.get("ports")


def test_volumes_are_declared_and_used() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service["volumes"]}
    assert used == set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", OURS)
def test_what_a_service_needs_is_healthy_first(name: str) -> None:
    needs = OURS[name]["depends_on"]
    assert {need["condition"] for need in needs.values()} == {"service_healthy"}
    assert all(SERVICES[need]["healthcheck"]["test"] for need in needs)


@pytest.mark.parametrize("name", OURS)
def test_the_variables_of_our_services_are_settings(name: str) -> None:
    known = {variable_of(field) for field in Settings.model_fields}
    assert set(OURS[name]["environment"]) <= known


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_is_written_down(name: str) -> None:
    secret = re.compile(r"PASSWORD|KEY|TOKEN")
    for variable, value in SERVICES[name]["environment"].items():
        if secret.search(variable):
            assert re.fullmatch(r"\$\{[A-Z_]+:(\?[^}]+|-)\}", value), f"{name}: {variable}"
        assert not re.search(r"://[^:@/]*:(?!\$\{)[^@]+@", value), f"{name}: {variable}"


def test_the_api_is_reached_by_others_only_with_keys() -> None:
    words = SERVICES["api"]["command"]
    host = words[words.index("--host") + 1]
    assert read_settings(host=host, auth=SERVICES["api"]["environment"]["LMSYS_AUTH"]).auth is True
    with pytest.raises(Invalid):
        read_settings(host=host, auth=False)
    assert all(port.startswith("127.0.0.1:") for s in SERVICES.values() for port in s.get("ports", []))


def test_the_qdrant_server_fits_the_client() -> None:
    server = re.findall(r":v(\d+)\.(\d+)\.", SERVICES["qdrant"]["image"])
    client = re.findall(
        r"^qdrant-client==(\d+)\.(\d+)\.", (ROOT / "constraints.txt").read_text(), re.MULTILINE
    )
    assert server == client


class Qdrant(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_qdrant_is_healthy_when_it_says_so(
    status: int, healthy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Qdrant, "status", status)
    with HTTPServer(("127.0.0.1", 0), Qdrant) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        words = [word.replace("$$", "$") for word in SERVICES["qdrant"]["healthcheck"]["test"][1:]]
        probe = words[-1].replace("6333", str(server.server_port))
        done = subprocess.run([*words[:-1], probe], timeout=10, check=False, capture_output=True)
        thread.join()
    assert (done.returncode == 0) is healthy


def test_qdrant_is_not_healthy_when_nobody_listens() -> None:
    words = [
        word.replace("$$", "$").replace("6333", "1") for word in SERVICES["qdrant"]["healthcheck"]["test"]
    ]
    assert subprocess.run(words[1:], timeout=10, check=False, capture_output=True).returncode != 0


def test_the_image_does_not_run_as_root() -> None:
    assert last("USER") not in ("root", "0")
    assert any(word == "RUN" and "useradd" in rest and last("USER") in rest for word, rest in IMAGE)


def test_the_image_starts_programs_without_a_shell() -> None:
    assert json.loads(last("CMD"))[0] == "lmsys"
    assert json.loads(last("HEALTHCHECK").partition("CMD ")[2])[0] == "python"


def test_the_image_asks_for_keys_and_keeps_its_data_in_a_volume() -> None:
    environment = dict(pair.split("=", 1) for pair in last("ENV").split())
    assert environment["LMSYS_AUTH"] == "true"
    assert environment["LMSYS_HOME"] == last("VOLUME")
    assert all(f"home:{last('VOLUME')}" in service["volumes"] for service in OURS.values())


def test_pip_leaves_no_cache_and_keeps_to_the_constraints() -> None:
    installs = [rest for word, rest in INSTRUCTIONS if word == "RUN" and "pip install" in rest]
    assert installs
    assert all("--no-cache-dir" in rest and "-c constraints.txt" in rest for rest in installs)


def test_the_image_gets_every_package_and_only_what_there_is() -> None:
    first = INSTRUCTIONS[: STAGES[-1]]
    copied = {source for word, rest in first if word == "COPY" for source in rest.split()[:-1]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert packages <= copied
    assert copied == allowed
    assert [source for source in copied if not (ROOT / source).exists()] == []
