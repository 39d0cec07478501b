"""How the processes that serve write their logs: one line each, to stderr."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from adapters.settings import Settings

QUIETER = (
    "alembic",
    "anthropic",
    "httpx",
    "httpx2",
    "openai",
    "procrastinate",
    "qdrant_client",
    "uvicorn.access",
)
"""Libraries that log every step, some with what they send; of these only warnings are kept."""


def set_up(settings: Settings) -> None:
    """The project's own log and that of the libraries, in one form."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: Any = structlog.processors.JSONRenderer() if settings.log_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    render = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        last,
    ]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=render))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for name in QUIETER:
        logging.getLogger(name).setLevel(logging.WARNING)
