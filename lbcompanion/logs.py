"""Logs: one line for each event on standard error, or JSON with ``--log-json`` or ``LBC_LOG=json``.

Events come through :mod:`twisted.logger`. Callers must not log cookie values, whole tokens or secrets. Further plain
values of an event become keys of the JSON object. Characters that a terminal does not show as themselves, such as
control characters and marks of direction, are written as escapes.
"""

from __future__ import annotations

import json
import logging
import os
import re
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

_LEVEL_NAMES = "debug|info|warn|error|critical"
_LEVEL = re.compile(rf"""(?:\S+ ({_LEVEL_NAMES}) |\{{"time": "[^"]*", "level": "({_LEVEL_NAMES})")""")
_PLAIN = (str, int, float, bool, type(None))


def wants_json(environment: Mapping[str, str]) -> bool:
    """Whether the environment selects JSON: ``LBC_LOG=json``."""
    return environment.get("LBC_LOG", "").lower() == "json"


def format_line(event: LogEvent) -> str:
    """Format an event as a line: time, level, namespace, message, and the traceback joined into the same line."""
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    return f"{_time(event)} {_level(event)} {_one_line(_source(event))}: {_one_line(text)}"


def format_json(event: LogEvent) -> str:
    """Format an event as one JSON object."""
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
    written = json.dumps(fields, ensure_ascii=False)
    # What is not printable here is within a string.
    return written if written.isprintable() else "".join(map(_json_character, written))


def level_of(line: str) -> LogLevel:
    """The level of a line that another process of this program logged; info for any other line."""
    found = _LEVEL.match(line)
    level: LogLevel = LogLevel.levelWithName(found.group(1) or found.group(2)) if found else LogLevel.info
    return level


def printable(text: str) -> str:
    """Text for a terminal: escapes in place of characters that it does not show as themselves, except line ends."""
    return text if text.isprintable() else "\n".join(map(_printable_line, text.split("\n")))


def _one_line(text: str) -> str:
    return _printable_line(" | ".join(line.strip() for line in text.splitlines() if line.strip()))


def _printable_line(line: str) -> str:
    return line if line.isprintable() else "".join(map(_line_character, line))


def _line_character(character: str) -> str:
    return character if character.isprintable() or character == "\t" else ascii(character)[1:-1]


def _json_character(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1].replace("\x7f", "\\u007f")


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

    :param stream: the file to write to.
    :param json_lines: whether to write JSON objects.
    """

    def __init__(self, stream: TextIO, *, json_lines: bool = False) -> None:
        self._stream = stream
        self._write = format_json if json_lines else format_line

    def __call__(self, event: LogEvent) -> None:
        """Write one event. Ignore write errors: logging must not stop the service."""
        try:
            self._stream.write(self._write(event) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            return


class StandardLoggingHandler(logging.Handler):
    """Forwards records of :mod:`logging`, mainly asyncio's warnings, to Twisted's log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Forward one record, with its traceback in the same line."""
        try:
            text = self.format(record)
            level = LogLevel.levelWithName({"WARNING": "warn"}.get(record.levelname, record.levelname.lower()))
        except Exception:  # a library's malformed log record must not stop the service
            return
        Logger(namespace=record.name).emit(level, "{text}", text=_one_line(text))


def begin(*, json_lines: bool | None = None, level: LogLevel = LogLevel.info, stream: TextIO | None = None) -> None:
    """Start logging for this process.

    :param json_lines: whether to write JSON; None takes it from the environment.
    :param level: the lowest level to write.
    :param stream: the file to write to; None means standard error.
    """
    if json_lines is None:
        json_lines = wants_json(os.environ)
    observer = LineObserver(stream or sys.stderr, json_lines=json_lines)
    predicate = LogLevelFilterPredicate(defaultLogLevel=level)
    # These write a line for each connection or listener, which would hide the important lines; log_legacy is what
    # Twisted writes by its old interface.
    for namespace in ("twisted.web.client", "twisted.web.http", "log_legacy"):
        predicate.setLogLevelForNamespace(namespace, max(level, LogLevel.warn))
    logging.basicConfig(handlers=[StandardLoggingHandler()], level=logging.WARNING, force=True)
    globalLogBeginner.beginLoggingTo([FilteringLogObserver(observer, [predicate])], redirectStandardIO=False)
