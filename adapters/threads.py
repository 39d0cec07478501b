"""One thread for numeric libraries: more cost up to twelve times on a busy machine, and differ in bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock

_lock = Lock()
_inside = 0
_blas = ExitStack()


@contextmanager
def single_thread() -> Iterator[None]:
    """BLAS and OpenMP use one thread inside: the same products give the same bits.

    Only libraries that are already loaded are held: import faiss, sklearn or hdbscan first. OpenMP is held
    for the calling thread, BLAS for the whole process until the last of those inside has left.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    _enter(threadpool_limits)
    try:
        with threadpool_limits(limits=1, user_api="openmp"):
            yield
    finally:
        _leave()


def _enter(threadpool_limits: type) -> None:
    global _inside
    with _lock:
        _inside += 1
        _blas.enter_context(threadpool_limits(limits=1, user_api="blas"))


def _leave() -> None:
    """What the first has found is put back last, and that when nobody needs the limit any more."""
    global _inside
    with _lock:
        _inside -= 1
        if _inside == 0:
            _blas.close()
