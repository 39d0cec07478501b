"""The embedded Postgres, real: shared, killed, left behind, hidden in deep and closed folders."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
import sqlalchemy

from adapters.postgres import Embedded, start_embedded
from domain.errors import Unavailable

ROOT = Path(__file__).parents[2]
ATTACH = """
import sys
from pathlib import Path
from adapters.postgres import start_embedded
server = start_embedded(Path(sys.argv[1]))
print(server.url, flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Initialised once; each test starts and stops the server on it."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def server(home: Path) -> Iterator[Embedded]:
    server = start_embedded(home)
    yield server
    server.stop()


def ask(url: str, query: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return str(row[0])


def postmaster(home: Path) -> int:
    return int((home / "postgres/data/postmaster.pid").read_text().split()[0])


def running(home: Path) -> bool:
    """As Postgres itself sees it: it removes the file when it ends."""
    return (home / "postgres/data/postmaster.pid").exists()


def attached(home: Path) -> subprocess.Popen[str]:
    """Another process of ours with a hold on the server; it lets go when its stdin closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", ATTACH, str(home)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("postgresql://")
    return process


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
        ("fsync", "on"),
        ("shared_buffers", "256MB"),
        ("maintenance_work_mem", "256MB"),
        ("max_wal_size", "2GB"),
        ("max_connections", "200"),
        ("listen_addresses", ""),
    ],
)
def test_it_runs_with_the_settings_that_the_rest_counts_on(
    server: Embedded, setting: str, value: str
) -> None:
    assert ask(server.url, f"SHOW {setting}") == value


def test_text_sorts_and_folds_alike_on_every_machine(server: Embedded) -> None:
    provider = "SELECT concat(datlocprovider, datlocale) FROM pg_database WHERE datname = current_database()"
    assert ask(server.url, provider) == "bC.UTF-8"
    assert ask(server.url, "SELECT lower('ÄÉΣ')") == "äéσ"


def test_sqlalchemy_takes_the_url_with_its_driver_in_front(server: Embedded) -> None:
    engine = sqlalchemy.create_engine(server.url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        assert connection.scalar(sqlalchemy.text("SELECT current_database()")) == "lmsys"
    engine.dispose()


def test_rows_outlive_a_stop(home: Path) -> None:
    first = start_embedded(home)
    with psycopg.connect(first.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    first.stop()
    assert not running(home)

    second = start_embedded(home)
    assert ask(second.url, "SELECT answer FROM kept") == "42"
    second.stop()


def test_the_last_one_to_leave_stops_the_server(home: Path) -> None:
    ours = start_embedded(home)
    other = attached(home)
    pid = postmaster(home)

    ours.stop()
    assert running(home)
    assert postmaster(home) == pid

    other.communicate("")
    assert other.returncode == 0
    assert not running(home)


def test_two_holds_in_one_process_are_two(home: Path) -> None:
    first, second = start_embedded(home), start_embedded(home)
    first.stop()
    first.stop()
    assert ask(second.url, "SELECT 1") == "1"
    second.stop()
    assert not running(home)


def test_the_hold_of_a_killed_process_is_gone(home: Path) -> None:
    other = attached(home)
    other.kill()
    other.communicate()
    assert running(home)

    ours = start_embedded(home)
    assert ask(ours.url, "SELECT 1") == "1"
    ours.stop()
    assert not running(home)


def test_a_killed_postmaster_is_started_again_and_nothing_committed_is_lost(
    server: Embedded, home: Path
) -> None:
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE committed AS SELECT generate_series(1, 1000) AS n")
    assert server.ensure_running() is False
    with psycopg.connect(server.url) as busy:  # a backend that lives for a moment longer
        os.kill(postmaster(home), signal.SIGKILL)
        assert server.ensure_running() is True
        with pytest.raises(psycopg.OperationalError):
            busy.execute("SELECT 1")
    assert ask(server.url, "SELECT count(*) FROM committed") == "1000"


def test_a_pid_on_record_that_is_another_process_now_is_no_obstacle(server: Embedded, home: Path) -> None:
    records = [home / "postgres/data/postmaster.pid", home / "postgres/run/.s.PGSQL.5432.lock"]
    owner = records[0].stat().st_uid
    stranger = subprocess.Popen(["sleep", "60"], user=owner if os.geteuid() == 0 else None)
    try:
        pid = postmaster(home)
        os.kill(pid, signal.SIGKILL)
        for record in records:
            record.write_text(record.read_text().replace(str(pid), str(stranger.pid), 1))
        assert server.ensure_running() is True
    finally:
        stranger.kill()
        stranger.wait()
    assert ask(server.url, "SELECT 1") == "1"


def test_a_second_postmaster_is_kept_out_when_the_first_has_lost_its_socket(
    server: Embedded, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = postmaster(home)
    connection = psycopg.connect(server.url)
    (home / "postgres/run/.s.PGSQL.5432").unlink()
    monkeypatch.setattr("adapters.postgres.Embedded._bring_up.retry.stop", lambda state: True)

    with pytest.raises(Unavailable, match="still in use"):
        server.ensure_running()
    assert connection.execute("SELECT 1").fetchone() == (1,)

    connection.close()
    os.kill(first, signal.SIGQUIT)
    monkeypatch.undo()
    assert server.ensure_running() is True


def test_four_processes_may_be_the_first_at_once(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres/data.new").mkdir()  # what an interrupted first start leaves
    with ThreadPoolExecutor(4) as pool:
        processes = list(pool.map(attached, [tmp_path] * 4))
        list(pool.map(lambda process: process.communicate(""), processes))
    assert [process.returncode for process in processes] == [0] * 4
    assert not running(tmp_path)


def test_a_deep_home_gets_a_short_socket_and_a_closed_one_stays_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = start_embedded(closed / ("deep" * 40))
    folder = Path(parse_qs(urlsplit(server.url).query)["host"][0])
    assert ask(server.url, "SELECT 1") == "1"
    server.stop()

    assert not folder.is_relative_to(tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not closed.stat().st_mode & stat.S_IRWXO
    folder.rmdir()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Where a socket may lie whatever the tests are called: its path has at most 107 bytes."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_socket_folder_that_somebody_else_has_made_is_refused(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(short_path))
    monkeypatch.setattr("adapters.postgres._LONGEST_SOCKET", len(str(short_path)) + 40)
    home = short_path / ("deep" * 20)
    made = start_embedded(home)
    folder = Path(parse_qs(urlsplit(made.url).query)["host"][0])
    made.stop()
    folder.rmdir()
    folder.symlink_to(short_path)

    with pytest.raises(Unavailable, match="is not ours"):
        start_embedded(home)


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match=r"file/home/postgres: Not a directory.*LMSYS_HOME"):
        start_embedded(tmp_path / "file/home")


def test_data_of_another_version_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "postgres/data").mkdir(parents=True)
    (tmp_path / "postgres/data/PG_VERSION").write_text("16\n")
    with pytest.raises(Unavailable, match="written by Postgres 16"):
        start_embedded(tmp_path)
    assert not (tmp_path / "postgres/data/postmaster.pid").exists()


def test_a_start_that_fails_ends_with_the_words_of_the_server(server: Embedded, home: Path) -> None:
    server.stop()
    configuration = home / "postgres/data/postgresql.conf"
    good = configuration.read_text()
    configuration.write_text(good + "\nshared_buffers = nonsense\n")
    try:
        with pytest.raises(Unavailable, match='invalid value for parameter "shared_buffers"'):
            start_embedded(home)
    finally:
        configuration.write_text(good)
