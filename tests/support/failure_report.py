"""What a failed test's report gets besides the traceback: the ends of logs, and the state of browser pages.

What can say something registers itself by :func:`add`, once it runs. It is asked right after the failure, before any
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
        """What it said last, under its name."""


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
    """Ask this one after a failure, as long as it runs, and until the end of the test in which it ended."""
    if source not in _sources:
        _sources.append(source)


def forget_ended() -> None:
    """Between two tests: the next one has nothing to do with what ended."""
    _sources[:] = [source for source in _sources if not source.died()]


def extend(report: Any) -> None:
    """Add what is known to the report of a failure."""
    if report.failed and (text := collected()):
        report.sections.append(("Processes and pages", text))


def collected() -> str:
    """What all of them said last: an equal part of the space for each, the end of each text."""
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
        return f"---- nothing could be found out: {failure!r} ----"
