"""Structured logs: one JSON object per line on standard error, without audio, file names, addresses or tokens."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

HALF_OPEN = "without completing handshake"
"""uvicorn says so, as an error, of each stream that is refused: there is a handshake only when one is let in."""

LOG = logging.getLogger("feltone.serve")


class JsonLines(logging.Formatter):
    """A record as JSON: time, level, event, and the fields it was logged with."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage().strip(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def event(name: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event with its fields."""
    LOG.log(level, name, extra={"fields": fields})


def install() -> None:
    """Log to standard error, uvicorn's warnings and tracebacks included (its other lines name what was asked for)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    handler.addFilter(lambda record: HALF_OPEN not in record.getMessage())
    for name, level in (("feltone.serve", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
