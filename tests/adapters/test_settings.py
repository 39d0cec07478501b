from pathlib import Path

import pytest

from adapters.settings import Settings, read_settings, variable_of
from domain.errors import Invalid


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(variable_of(field), raising=False)


def test_variables_are_read_and_options_go_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMSYS_PORT", "9000")
    monkeypatch.setenv("LMSYS_LOG_LEVEL", "debug")
    monkeypatch.setenv("LMSYS_CORS_ORIGINS", "https://a.example, https://b.example")
    monkeypatch.setenv("LMSYS_MAX_UPLOAD_BYTES", "2GiB")
    settings = read_settings(log_level="ERROR")
    assert settings.port == 9000
    assert settings.log_level == "ERROR"
    assert settings.cors_origins == ["https://a.example", "https://b.example"]
    assert settings.max_upload_bytes == 2 * 1024**3


def test_keys_of_providers_keep_their_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    settings = read_settings()
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() == "sk-secret"
    assert "sk-secret" not in repr(settings)


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMSYS_DATABASE_URL", "")
    assert read_settings().database_url is None


def test_paths_are_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_settings().home == tmp_path / ".lmsys-query-analysis"
    assert read_settings().export_dir == tmp_path / ".lmsys-query-analysis" / "exports"
    assert read_settings(home="here").home == Path.cwd() / "here"


def test_what_is_wrong_is_named_by_its_variable_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMSYS_PORT", "sk-pasted-into-the-wrong-line")
    monkeypatch.setenv("LMSYS_UPLOAD_RATE", "often")
    with pytest.raises(Invalid) as refusal:
        read_settings()
    assert {detail["variable"] for detail in refusal.value.details} == {"LMSYS_PORT", "LMSYS_UPLOAD_RATE"}
    assert "sk-pasted" not in str(refusal.value)
    assert "LMSYS_PORT: Input should be a valid integer" in refusal.value.message


def test_an_option_that_does_not_exist_is_refused() -> None:
    with pytest.raises(Invalid, match="prot"):
        read_settings(prot=1)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "api.example"])
def test_others_are_not_let_in_without_keys(host: str) -> None:
    with pytest.raises(Invalid, match="LMSYS_AUTH=true"):
        read_settings(host=host)
    assert read_settings(host=host, auth=True).host == host
    assert read_settings(host=host, insecure=True).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_the_loopback_needs_no_keys(host: str) -> None:
    assert read_settings(host=host).auth is False


def test_a_job_is_not_given_away_between_two_signs_of_life() -> None:
    with pytest.raises(Invalid, match="LMSYS_JOB_STALLED_SECONDS"):
        read_settings(job_heartbeat_seconds=10, job_stalled_seconds=10)
