"""How the doctor tells: a line for each series while it asks, then tables, or JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from lbcompanion.doctor.advice import Advice
from lbcompanion.doctor.diagnosis import CookieSeen, Diagnosis, Severity
from lbcompanion.doctor.observed import Answer, Given, Observed
from lbcompanion.doctor.plan import Series

_COLOURS = {Severity.PROBLEM: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan", Severity.GOOD: "green"}
_YES_NO = {True: "yes", False: "no", None: "?"}


class ProgressShown:
    """Tells how far the asking is: a moving display on a terminal, a line for each series elsewhere.

    :param console: where to; None: say nothing.
    """

    def __init__(self, console: Console | None) -> None:
        self._console = console
        self._line: list[str] = []
        self._progress: Progress | None = None
        if console is not None and console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn())
            self._progress = Progress(*columns, TextColumn("{task.fields[who]}"), console=console, auto_refresh=False)
            self._progress.start()

    def told(self, series: Series, answer: Answer | None) -> None:
        """Take note of an answer, or of a series that begins."""
        if self._console is None:
            return
        if answer is None:
            self._begin(series)
            return
        self._line.append(_short(answer))
        if self._progress is not None:
            task = self._progress.task_ids[-1]
            self._progress.update(task, advance=1, who=escape(" ".join(self._line[1:][-8:])))
            self._progress.refresh()

    def _begin(self, series: Series) -> None:
        if self._line[:1] == [series.why]:  # one more of the same
            if self._progress is not None:
                task = self._progress.tasks[-1]
                self._progress.update(task.id, total=(task.total or 0) + series.times)
            return
        self._flush()
        self._line = [series.why]
        if self._progress is not None:
            self._progress.add_task(escape(series.why), total=series.times, who="")

    def _flush(self) -> None:
        if self._console is not None and self._progress is None and len(self._line) > 1:
            why, *answers = self._line
            self._console.print(f"{why}: {' '.join(answers)}", markup=False, highlight=False)

    def close(self) -> None:
        """The asking is over."""
        self._flush()
        if self._progress is not None:
            self._progress.stop()


def _short(answer: Answer) -> str:
    return answer.failure or answer.node or str(answer.status)


def report(observed: Observed, diagnosis: Diagnosis, advice: Advice) -> RenderableType:
    """Everything, for people."""
    parts: list[RenderableType] = ["", _verdict(observed, diagnosis)]
    if diagnosis.nodes:
        parts.append(_nodes(diagnosis))
    if diagnosis.cookies:
        parts.append(_cookies(diagnosis))
    if diagnosis.replays:
        parts.append(_replays(diagnosis))
    parts += ["", *_findings(diagnosis)]
    if all(one.failure for one in observed.bare):
        return Group(*parts)
    parts += ["", "[bold]In each node's file:[/]", "", escape(advice.node)]
    parts += ["[bold]In the crawler's file:[/]", "", escape(advice.crawler)]
    return Group(*parts)


def _verdict(observed: Observed, diagnosis: Diagnosis) -> str:
    asked = f"{observed.requests} requests, {observed.seconds:.1f} s"
    site = escape(observed.origin)
    if not diagnosis.sticky:
        return f"[bold red]Not sticky, as far as can be seen:[/] {site} ({asked})"
    names = escape(" and ".join(diagnosis.sticks_by))
    return f"[bold green]Sticky by {names}, {diagnosis.basis.value}:[/] {site} ({asked})"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _nodes(diagnosis: Diagnosis) -> Table:
    table = _table(f"Nodes met without a cookie ({diagnosis.basis.value})", "node", "answers")
    for one in diagnosis.nodes:
        table.add_row(escape(one.name), str(one.answers))
    return table


def _cookies(diagnosis: Diagnosis) -> Table:
    table = _table("Cookies handed out", "cookie", "at", "sticks", "script can read", "attributes", "could be", "names")
    for one in diagnosis.cookies:
        table.add_row(
            escape(one.given.name),
            " ".join(spot.value for spot in one.spots),
            _YES_NO[one.sticks],
            _YES_NO[not one.given.http_only],
            escape("; ".join(_attributes(one.given))),
            escape(_could_be(one)),
            escape(next((writer.node for writer in one.writers if writer.node), "-")),
        )
    return table


def _attributes(given: Given) -> Iterator[str]:
    yield f"Path={given.path}" if given.path_named else f"no Path: {given.path}"
    if given.domain:
        yield f"Domain={given.domain}"
    yield "session" if given.seconds is None else f"{given.seconds:.0f} s"
    yield from (word for word, there in (("HttpOnly", given.http_only), ("Secure", given.secure)) if there)
    if given.same_site:
        yield f"SameSite={given.same_site}"


def _could_be(cookie: CookieSeen) -> str:
    """The surest dialects, and how sure they are."""
    if not cookie.writers:
        return "an application's session" if cookie.credential else "no known dialect"
    grounds = cookie.writers[0].grounds
    same = [one for one in cookie.writers if one.grounds == grounds]
    # Of those that take any text, the ones that would name a node by it come first.
    names = [one.dialect for one in sorted(same, key=lambda one: one.node is None)]
    said = {
        "recognised": "",
        "name": " (by its name and shape)",
        "form": " (by its shape)",
        "any_text": " (any text would fit)",
    }[grounds]
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") + said


def _replays(diagnosis: Diagnosis) -> Table:
    table = _table("Sent again", "cookies", "what of them", "node", "led there", "how sure")
    for one in diagnosis.replays:
        style = "" if one.same == one.tries else "red"
        sure = one.basis.value
        table.add_row(
            escape(" ".join(one.cookies)),
            one.how.value,
            escape(one.node or "?"),
            f"{one.same} of {one.tries}",
            sure,
            style=style,
        )
    return table


def _findings(diagnosis: Diagnosis) -> Iterator[str]:
    for one in diagnosis.findings:
        yield f"[{_COLOURS[one.severity]}]{one.severity.value:>7}[/]  {escape(one.text)}"


def document(url: str, observed: Observed, diagnosis: Diagnosis, advice: Advice) -> dict[str, Any]:
    """The same for programs; no cookie's value is in it."""
    return {
        "url": url,
        "sticky": diagnosis.sticky,
        "sticks_by": list(diagnosis.sticks_by),
        "together": diagnosis.together,
        "invented": diagnosis.invented,
        "basis": diagnosis.basis.value,
        "companions": observed.companions,
        "dialect": advice.sticky.dialect if diagnosis.sticky else None,
        "nodes": [{"name": one.name, "answers": one.answers} for one in diagnosis.nodes],
        "cookies": [_cookie(one) for one in diagnosis.cookies],
        "replays": [
            {
                "node": one.node or None,
                "cookies": list(one.cookies),
                "how": one.how.name.lower(),
                "tries": one.tries,
                "same": one.same,
                "basis": one.basis.value,
            }
            for one in diagnosis.replays
        ],
        "findings": [
            {"code": one.code, "severity": one.severity.value, "text": one.text} for one in diagnosis.findings
        ],
        "configuration": {"node": advice.node, "crawler": advice.crawler},
        "requests": observed.requests,
        "seconds": round(observed.seconds, 3),
    }


def _cookie(one: CookieSeen) -> dict[str, Any]:
    given = one.given
    return {
        "name": given.name,
        "handed_out_at": [spot.value for spot in one.spots],
        "sticks": one.sticks,
        "routing_part_is_enough": one.routing_part,
        "looks_like_credential": one.credential,
        "script_can_read": not given.http_only,
        "attributes": {
            "path": given.path,
            "path_named": given.path_named,
            "domain": given.domain or None,
            "http_only": given.http_only,
            "secure": given.secure,
            "same_site": given.same_site or None,
            "seconds": given.seconds,
        },
        "dialects": [
            {"dialect": writer.dialect, "grounds": writer.grounds, "node": writer.node} for writer in one.writers
        ],
    }
