"""Logs: one line for each event, to standard error; as JSON where asked for (``--log-json`` or ``LBC_LOG=json``).

Events come through :mod:`twisted.logger`. What they hold is the caller's duty: no cookie value, no whole token, no
secret. Values given beside the format are JSON's further keys, as far as they are plain.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    formatEvent,
    globalLogBeginner,
)
from zope.interface import implementer

from lbcompanion.model import to_rfc3339

_PLAIN = (str, int, float, bool, type(None))


def wants_json(environment: Mapping[str, str]) -> bool:
    """Whether the environment asks for JSON: ``LBC_LOG=json``."""
    return environment.get("LBC_LOG", "").lower() == "json"


def format_line(event: LogEvent) -> str:
    """An event as a line for people: time, level, what says it, the message; a traceback is folded into it."""
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    return f"{_time(event)} {_level(event)} {_source(event)}: {_one_line(text)}"


def format_json(event: LogEvent) -> str:
    """An event as one JSON object."""
    fields: dict[str, Any] = {
        "time": _time(event),
        "level": _level(event),
        "from": _source(event),
        "message": formatEvent(event),
    }
    for key, value in event.items():
        if not key.startswith("log_") and key != "text" and key not in fields and isinstance(value, _PLAIN):
            fields[key] = value
    if "log_failure" in event:
        fields["failure"] = event["log_failure"].getTraceback()
    return json.dumps(fields, ensure_ascii=False)


def _one_line(text: str) -> str:
    return " | ".join(line.strip() for line in text.splitlines() if line.strip())


def _time(event: LogEvent) -> str:
    return to_rfc3339(event.get("log_time") or 0.0)


def _level(event: LogEvent) -> str:
    level = event.get("log_level")
    return level.name if level is not None else "info"


def _source(event: LogEvent) -> str:
    return str(event.get("log_namespace") or event.get("log_system") or "-")


@implementer(ILogObserver)
class LineObserver:
    """Writes each event as one line.

    :param stream: where to.
    :param as_text: :func:`format_line` or :func:`format_json`.
    """

    def __init__(self, stream: TextIO, *, json_lines: bool = False) -> None:
        self._stream = stream
        self._write = format_json if json_lines else format_line

    def __call__(self, event: LogEvent) -> None:
        """Write one event; what cannot be written is let go, a log never stops the service."""
        try:
            self._stream.write(self._write(event) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            return


class StandardLoggingHandler(logging.Handler):
    """Hands what libraries say through :mod:`logging` (asyncio's complaints above all) on to Twisted's log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on, with its traceback in the same line."""
        try:
            text = self.format(record)
            level = LogLevel.levelWithName({"WARNING": "warn"}.get(record.levelname, record.levelname.lower()))
        except Exception:  # a library's own log line that cannot even be written is no reason to stop
            return
        Logger(namespace=record.name).emit(level, "{text}", text=_one_line(text))


def begin(*, json_lines: bool | None = None, level: LogLevel = LogLevel.info, stream: TextIO | None = None) -> None:
    """Start logging for this process.

    :param json_lines: None: as the environment says.
    :param level: what is less than this is not written.
    :param stream: standard error where it is None.
    """
    if json_lines is None:
        json_lines = wants_json(os.environ)
    observer = LineObserver(stream or sys.stderr, json_lines=json_lines)
    predicate = LogLevelFilterPredicate(defaultLogLevel=level)
    # Two lines for each connection to a crawler, peer or balancer would bury what matters.
    predicate.setLogLevelForNamespace("twisted.web.client", max(level, LogLevel.warn))
    logging.basicConfig(handlers=[StandardLoggingHandler()], level=logging.WARNING, force=True)
    globalLogBeginner.beginLoggingTo([FilteringLogObserver(observer, [predicate])], redirectStandardIO=False)
