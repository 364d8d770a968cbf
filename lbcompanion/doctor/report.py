"""How the doctor tells: a line for each series while it asks, then tables, or JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from lbcompanion.doctor.advice import Advice
from lbcompanion.doctor.diagnosis import Diagnosis, ObservedCookie, Severity
from lbcompanion.doctor.observations import Observations, ParsedSetCookie, ProbeResponse
from lbcompanion.doctor.plan import ProbeSeries

_COLOURS = {Severity.PROBLEM: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan", Severity.GOOD: "green"}
_YES_NO = {True: "yes", False: "no", None: "?"}


class ProgressReporter:
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

    def on_progress(self, series: ProbeSeries, response: ProbeResponse | None) -> None:
        """Take note of an answer, or of a series that begins."""
        if self._console is None:
            return
        if response is None:
            self._begin(series)
            return
        self._line.append(_short_text(response))
        if self._progress is not None:
            task = self._progress.task_ids[-1]
            self._progress.update(task, advance=1, who=escape(" ".join(self._line[1:][-8:])))
            self._progress.refresh()

    def _begin(self, series: ProbeSeries) -> None:
        if self._line[:1] == [series.question]:  # one more of the same
            if self._progress is not None:
                task = self._progress.tasks[-1]
                self._progress.update(task.id, total=(task.total or 0) + series.count)
            return
        self._flush()
        self._line = [series.question]
        if self._progress is not None:
            self._progress.add_task(escape(series.question), total=series.count, who="")

    def _flush(self) -> None:
        if self._console is not None and self._progress is None and len(self._line) > 1:
            question, *responses = self._line
            self._console.print(f"{question}: {' '.join(responses)}", markup=False, highlight=False)

    def close(self) -> None:
        """The asking is over."""
        self._flush()
        if self._progress is not None:
            self._progress.stop()


def _short_text(response: ProbeResponse) -> str:
    return response.failure or response.node or str(response.status)


def report(observations: Observations, diagnosis: Diagnosis, advice: Advice) -> RenderableType:
    """Everything, for people."""
    parts: list[RenderableType] = ["", _verdict(observations, diagnosis)]
    if diagnosis.nodes:
        parts.append(_nodes(diagnosis))
    if diagnosis.cookies:
        parts.append(_cookies(diagnosis))
    if diagnosis.replays:
        parts.append(_replays(diagnosis))
    parts += ["", *_findings(diagnosis)]
    if all(one.failure for one in observations.without_cookie):
        return Group(*parts)
    parts += ["", "[bold]In each node's file:[/]", "", escape(advice.node)]
    parts += ["[bold]In the crawler's file:[/]", "", escape(advice.crawler)]
    return Group(*parts)


def _verdict(observations: Observations, diagnosis: Diagnosis) -> str:
    effort = f"{observations.request_count} requests, {observations.seconds:.1f} s"
    site = escape(observations.origin)
    if not diagnosis.sticky:
        return f"[bold red]Not sticky, as far as can be seen:[/] {site} ({effort})"
    names = escape(" and ".join(diagnosis.sticks_by))
    return f"[bold green]Sticky by {names}, {diagnosis.certainty.value}:[/] {site} ({effort})"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _nodes(diagnosis: Diagnosis) -> Table:
    table = _table(f"Nodes met without a cookie ({diagnosis.certainty.value})", "node", "answers")
    for one in diagnosis.nodes:
        table.add_row(escape(one.name), str(one.responses))
    return table


def _cookies(diagnosis: Diagnosis) -> Table:
    table = _table("Cookies handed out", "cookie", "at", "sticks", "script can read", "attributes", "could be", "names")
    for one in diagnosis.cookies:
        table.add_row(
            escape(one.set_cookie.name),
            " ".join(kind.value for kind in one.kinds),
            _YES_NO[one.sticks],
            _YES_NO[not one.set_cookie.http_only],
            escape("; ".join(_attributes(one.set_cookie))),
            escape(_dialect_text(one)),
            escape(next((dialect.node for dialect in one.possible_dialects if dialect.node), "-")),
        )
    return table


def _attributes(set_cookie: ParsedSetCookie) -> Iterator[str]:
    yield f"Path={set_cookie.path}" if set_cookie.path_named else f"no Path: {set_cookie.path}"
    if set_cookie.domain:
        yield f"Domain={set_cookie.domain}"
    yield "session" if set_cookie.seconds is None else f"{set_cookie.seconds:.0f} s"
    yield from (
        word for word, present in (("HttpOnly", set_cookie.http_only), ("Secure", set_cookie.secure)) if present
    )
    if set_cookie.same_site:
        yield f"SameSite={set_cookie.same_site}"


def _dialect_text(cookie: ObservedCookie) -> str:
    """The surest dialects, and how sure they are."""
    if not cookie.possible_dialects:
        return "an application's session" if cookie.credential else "no known dialect"
    grounds = cookie.possible_dialects[0].grounds
    equally_sure = [one for one in cookie.possible_dialects if one.grounds == grounds]
    # Of those that take any text, the ones that would name a node by it come first.
    names = [one.dialect for one in sorted(equally_sure, key=lambda one: one.node is None)]
    remark = {
        "recognised": "",
        "name": " (by its name and shape)",
        "form": " (by its shape)",
        "any_text": " (any text would fit)",
    }[grounds]
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") + remark


def _replays(diagnosis: Diagnosis) -> Table:
    table = _table("Sent again", "cookies", "what of them", "node", "led there", "how sure")
    for one in diagnosis.replays:
        style = "" if one.matches == one.tries else "red"
        sure = one.certainty.value
        table.add_row(
            escape(" ".join(one.cookies)),
            one.mode.value,
            escape(one.node or "?"),
            f"{one.matches} of {one.tries}",
            sure,
            style=style,
        )
    return table


def _findings(diagnosis: Diagnosis) -> Iterator[str]:
    for one in diagnosis.findings:
        yield f"[{_COLOURS[one.severity]}]{one.severity.value:>7}[/]  {escape(one.text)}"


def json_document(url: str, observations: Observations, diagnosis: Diagnosis, advice: Advice) -> dict[str, Any]:
    """The same for programs; no cookie's value is in it."""
    return {
        "url": url,
        "sticky": diagnosis.sticky,
        "sticks_by": list(diagnosis.sticks_by),
        "together": diagnosis.all_needed,
        "invented": diagnosis.invented,
        "basis": diagnosis.certainty.value,
        "companions": observations.has_companions,
        "dialect": advice.sticky.dialect if diagnosis.sticky else None,
        "nodes": [{"name": one.name, "answers": one.responses} for one in diagnosis.nodes],
        "cookies": [_cookie(one) for one in diagnosis.cookies],
        "replays": [
            {
                "node": one.node or None,
                "cookies": list(one.cookies),
                "how": one.mode.name.lower(),
                "tries": one.tries,
                "same": one.matches,
                "basis": one.certainty.value,
            }
            for one in diagnosis.replays
        ],
        "findings": [
            {"code": one.code, "severity": one.severity.value, "text": one.text} for one in diagnosis.findings
        ],
        "configuration": {"node": advice.node, "crawler": advice.crawler},
        "requests": observations.request_count,
        "seconds": round(observations.seconds, 3),
    }


def _cookie(one: ObservedCookie) -> dict[str, Any]:
    set_cookie = one.set_cookie
    return {
        "name": set_cookie.name,
        "handed_out_at": [kind.value for kind in one.kinds],
        "sticks": one.sticks,
        "routing_part_is_enough": one.routing_part,
        "looks_like_credential": one.credential,
        "script_can_read": not set_cookie.http_only,
        "attributes": {
            "path": set_cookie.path,
            "path_named": set_cookie.path_named,
            "domain": set_cookie.domain or None,
            "http_only": set_cookie.http_only,
            "secure": set_cookie.secure,
            "same_site": set_cookie.same_site or None,
            "seconds": set_cookie.seconds,
        },
        "dialects": [
            {"dialect": dialect.dialect, "grounds": dialect.grounds, "node": dialect.node}
            for dialect in one.possible_dialects
        ],
    }
