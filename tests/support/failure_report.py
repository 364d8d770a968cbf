"""Adds the ends of logs, and the state of browser pages, to the report of a failed test.

A process or a page is registered by :func:`add` when it starts. Its state is read right after the failure, before any
fixture ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any, Protocol

from attrs import frozen

#: Characters of the whole section. CI cuts a longer report in its middle.
_LIMIT = 12_000


class Source(Protocol):
    """A process, or a browser's page."""

    def died(self) -> bool:
        """Whether it ended."""

    def last_words(self) -> str:
        """The end of its output, or its state, below a line with its name."""


@frozen
class LoggedProcess:
    """A process that writes to a log file."""

    name: str
    log: Path
    process: Popen[bytes]

    def died(self) -> bool:
        """Whether it ended."""
        return self.process.poll() is not None

    def last_words(self) -> str:
        """The end of its log."""
        return f"---- {self.name} ----\n{self.log.read_text('utf-8', 'replace')[-_LIMIT:]}"


_sources: list[Source] = []


def add(source: Source) -> None:
    """Report on this one after a failure, until the end of the test in which it ends."""
    if source not in _sources:
        _sources.append(source)


def forget_ended() -> None:
    """Report on those that have ended no more; it is called between two tests."""
    _sources[:] = [source for source in _sources if not source.died()]


def extend(report: Any) -> None:
    """Add a section to the report of a failure, if there is anything to report on."""
    if report.failed and (text := collected()):
        report.sections.append(("Processes and pages", text))


def collected() -> str:
    """The last words of all of them: each gets an equal part of the space, and keeps the end of its text."""
    texts = [text for source in _sources if (text := _asked(source.last_words))]
    share = _LIMIT // max(1, len(texts))
    return "\n".join(_shortened(text, share) for text in texts)


def _shortened(text: str, size: int) -> str:
    name, _, rest = text.partition("\n")
    return text if len(rest) <= size else f"{name}\n… {rest[-size:]}"


def _asked(last_words: Callable[[], str]) -> str:
    try:
        return last_words()
    except Exception as failure:
        return f"---- no report: {failure!r} ----"
