"""Says how large the files of a process may become: PID BYTES. Not even root may, for others, everywhere."""

from __future__ import annotations

import os
import resource
import sys
from contextlib import suppress


def main() -> None:
    pid, size = int(sys.argv[1]), int(sys.argv[2])
    with suppress(ProcessLookupError, FileNotFoundError):
        owner = os.stat(f"/proc/{pid}")
        if owner.st_uid != os.geteuid():
            os.setgroups([])
            os.setresgid(owner.st_gid, owner.st_gid, owner.st_gid)
            os.setresuid(owner.st_uid, owner.st_uid, owner.st_uid)
        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size < 0 else size, hard))
