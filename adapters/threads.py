"""One thread for numeric libraries: more cost up to twelve times on a busy machine, and differ in bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any

_lock = Lock()
_inside = 0
_blas = ExitStack()


@contextmanager
def single_thread() -> Iterator[None]:
    """BLAS and OpenMP use one thread inside: the same products give the same bits.

    Only libraries that are already loaded are held: import faiss, sklearn or hdbscan first. OpenMP is held
    for the calling thread, BLAS for the whole process until the last of those inside has left.
    """
    from threadpoolctl import get_cached_controller  # type: ignore[import-untyped]

    controller = get_cached_controller()  # it looks for libraries again when a module was imported
    _enter(controller)
    try:
        with controller.limit(limits=1, user_api="openmp"):
            yield
    finally:
        _leave()


def _enter(controller: Any) -> None:  # noqa: ANN401  (threadpoolctl has no types)
    global _inside
    with _lock:
        _inside += 1
        _blas.enter_context(controller.limit(limits=1, user_api="blas"))


def _leave() -> None:
    """What the first has found is put back last, and that when nobody needs the limit any more."""
    global _inside
    with _lock:
        _inside -= 1
        if _inside == 0:
            _blas.close()
