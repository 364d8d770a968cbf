"""The doctor's output: a line for each series of requests, then tables, or JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import asdict
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from lbcompanion.doctor.advice import Advice
from lbcompanion.doctor.diagnosis import Diagnosis, ObservedCookie, Severity
from lbcompanion.doctor.observations import Journey, Observations, ParsedSetCookie, ProbeResponse
from lbcompanion.doctor.plan import ProbeSeries
from lbcompanion.logs import printable

_COLOURS = {Severity.PROBLEM: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan", Severity.GOOD: "green"}
_YES_NO = {True: "yes", False: "no", None: "?"}


def _plain(text: str) -> str:
    """Text of the site: it is neither markup nor control characters for the terminal."""
    return escape(printable(text))


class ProgressReporter:
    """Shows the progress: a live display on a terminal, else a line for each series.

    :param console: where to print; None prints nothing.
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
        """Show a response, or the beginning of a series."""
        if self._console is None:
            return
        if response is None:
            self._begin(series)
            return
        self._line.append(_short_text(response))
        if self._progress is not None:
            task = self._progress.task_ids[-1]
            self._progress.update(task, advance=1, who=_plain(" ".join(self._line[1:][-8:])))
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
            self._progress.add_task(_plain(series.question), total=series.count, who="")

    def _flush(self) -> None:
        if self._console is not None and self._progress is None and len(self._line) > 1:
            question, *responses = self._line
            self._console.print(f"{question}: {printable(' '.join(responses))}", markup=False, highlight=False)

    def close(self) -> None:
        """End the display."""
        self._flush()
        if self._progress is not None:
            self._progress.stop()


def _short_text(response: ProbeResponse) -> str:
    return response.failure or response.node or str(response.status)


def report(observations: Observations, diagnosis: Diagnosis, advice: Advice) -> RenderableType:
    """Render the whole report for people."""
    parts: list[RenderableType] = ["", _verdict(observations, diagnosis)]
    if diagnosis.nodes:
        parts.append(_nodes(diagnosis))
    if diagnosis.cookies:
        parts.append(_cookies(diagnosis))
    if diagnosis.replays:
        parts.append(_replays(diagnosis))
    parts += ["", *_findings(diagnosis)]
    if all(response.failure for response in observations.without_cookie):
        return Group(*parts)
    parts += ["", "[bold]In each node's file:[/]", "", _plain(advice.node)]
    parts += ["[bold]In the crawler's file:[/]", "", _plain(advice.crawler)]
    return Group(*parts)


def _verdict(observations: Observations, diagnosis: Diagnosis) -> str:
    effort = f"{observations.request_count} requests, {observations.seconds:.1f} s"
    site = _plain(observations.origin)
    if not diagnosis.sticky:
        return f"[bold red]Not sticky, as far as can be seen:[/] {site} ({effort})"
    names = _plain(" and ".join(diagnosis.sticks_by))
    return f"[bold green]Sticky by {names}, {diagnosis.certainty.value}:[/] {site} ({effort})"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _nodes(diagnosis: Diagnosis) -> Table:
    table = _table(f"Nodes met without a cookie ({diagnosis.certainty.value})", "node", "answers")
    for node in diagnosis.nodes:
        table.add_row(_plain(node.name), str(node.responses))
    return table


def _cookies(diagnosis: Diagnosis) -> Table:
    table = _table("Cookies handed out", "cookie", "at", "sticks", "script can read", "attributes", "could be", "names")
    for cookie in diagnosis.cookies:
        table.add_row(
            _plain(cookie.set_cookie.name),
            " ".join(kind.value for kind in cookie.kinds),
            _YES_NO[cookie.sticks],
            _YES_NO[not cookie.set_cookie.http_only],
            _plain("; ".join(_attributes(cookie.set_cookie))),
            _plain(_dialect_text(cookie)),
            _plain(next((dialect.node for dialect in cookie.possible_dialects if dialect.node), "-")),
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
    """Name the most certain dialects and how certain they are."""
    if not cookie.possible_dialects:
        return "an application's session" if cookie.credential else "no known dialect"
    grounds = cookie.possible_dialects[0].grounds
    equally_sure = [dialect for dialect in cookie.possible_dialects if dialect.grounds == grounds]
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
    for replay in diagnosis.replays:
        style = "" if replay.matches == replay.tries else "red"
        sure = replay.certainty.value
        table.add_row(
            _plain(" ".join(replay.cookies)),
            replay.mode.value,
            _plain(replay.node or "?"),
            f"{replay.matches} of {replay.tries}",
            sure,
            style=style,
        )
    return table


def _findings(diagnosis: Diagnosis) -> Iterator[str]:
    for finding in diagnosis.findings:
        yield f"[{_COLOURS[finding.severity]}]{finding.severity.value:>7}[/]  {_plain(finding.text)}"


def json_document(url: str, observations: Observations, diagnosis: Diagnosis, advice: Advice) -> dict[str, Any]:
    """Return the report for programs, ready for JSON; it contains no cookie's value."""
    return {
        "url": url,
        "sticky": diagnosis.sticky,
        "sticks_by": list(diagnosis.sticks_by),
        "together": diagnosis.all_needed,
        "invented": diagnosis.invented,
        "basis": diagnosis.certainty.value,
        "companions": observations.has_companions,
        "dialect": advice.sticky.dialect if diagnosis.sticky else None,
        "dialect_guessed": advice.guessed if diagnosis.sticky else None,
        "nodes": [{"name": node.name, "answers": node.responses} for node in diagnosis.nodes],
        "cookies": [_cookie(cookie) for cookie in diagnosis.cookies],
        "replays": [
            {
                "node": replay.node or None,
                "cookies": list(replay.cookies),
                "how": replay.mode.name.lower(),
                "tries": replay.tries,
                "same": replay.matches,
                "basis": replay.certainty.value,
            }
            for replay in diagnosis.replays
        ],
        "findings": [
            {"code": finding.code, "severity": finding.severity.value, "text": finding.text}
            for finding in diagnosis.findings
        ],
        "configuration": {"node": advice.node, "crawler": advice.crawler},
        "requests": observations.request_count,
        "seconds": round(observations.seconds, 3),
        "journey": _journey(observations.journey),
    }


def _journey(journey: Journey | None) -> dict[str, Any] | None:
    if journey is None:
        return None
    return {
        "page": journey.page or None,
        "page_origin": journey.page_origin or None,
        "policy_forbids": journey.forbidden or None,
        "script": journey.script or None,
        "notice": journey.notice or None,
        "fetch": journey.fetch or None,
        "fetch_proven": journey.fetch_proven,
        "confirmed": journey.confirmed,
        "upstream": None if journey.upstream is None else asdict(journey.upstream),
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
