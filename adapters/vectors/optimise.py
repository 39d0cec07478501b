"""`python -m adapters.vectors.optimise SHARD PARENT`: build the HNSW index of a shard that no one has open.

A process of its own because the engine holds the GIL until it is done, which takes minutes.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from adapters.vectors.files import sync_tree

PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Be killed when the parent dies: no handler and no thread of Python can run while the engine works.

    Linux sends the signal when the thread that started this process ends, so that thread has to wait for it.
    Elsewhere an orphan finishes, and what it built is removed when the home is next opened.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(f"the parent process {parent} is gone")


def main(shard_folder: str, parent: str) -> None:
    """At low priority, as searches go on meanwhile; and synced, as the shard that it replaces is removed."""
    end_with(int(parent))
    os.nice(10)
    from qdrant_edge import EdgeShard

    shard = EdgeShard.load(shard_folder)
    shard.optimize()
    shard.flush()
    shard.close()
    sync_tree(shard_folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
