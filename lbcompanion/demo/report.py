"""The demo's output: a line for each visit, a table, or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from lbcompanion.demo.balancer_choice import label_of
from lbcompanion.demo.crawler_api import VisitCheck
from lbcompanion.demo.farm import DemoFarm
from lbcompanion.demo.ports import LOOPBACK


def start_text(farm: DemoFarm) -> str:
    """Return the addresses of everything that runs."""
    plan = farm.plan
    lines = [
        f"[bold]The site[/]        {plan.origin}/   through {label_of(farm.balancer)}",
        f"[bold]The dashboard[/]   {farm.api_url}/",
        f"[bold]Visitors' walks[/] {farm.api_url}/visitors   their pages, as they were seen",
        f"[bold]The crawler API[/] {farm.api_url}/api/recordings",
        f"[bold]Notices go to[/]   http://{LOOPBACK}:{plan.intake_port}/notices",
    ]
    lines += [
        f"[bold]Node {node.name:<4}[/]       companion http://{LOOPBACK}:{node.public_port}/   "
        f"admin http://{LOOPBACK}:{node.admin_port}/status   application http://{LOOPBACK}:{node.application_port}/"
        for node in plan.nodes
    ]
    return "\n".join(lines)


def legend() -> str:
    """Return an explanation of the lines that follow."""
    return (
        "Every page of the shop exists once, on the node that made it: random, behind a login, or answering a POST.\n"
        "A crawler without that login fetches its copy through the same balancer, from that very node: with the\n"
        "routing cookie [magenta]recorded[/] for the visit, or with one of its [magenta]own[/] that leads there.\n"
        "Look at the dashboard, or walk about the site yourself. Ctrl-C ends the demo.\n"
    )


def visit_line(check: VisitCheck) -> str:
    """Return one visit as one line."""
    visit, served, recording = check.visit, check.served, check.recording
    page = f"{visit.method:<4} {visit.path.partition('?')[0]}"
    start = f"[dim]visit {visit.id:>4}[/] {visit.visitor:<6} {escape(f'{page:<20}')}"
    made = f"made by [bold cyan]{served.node}[/]" if served is not None else "made by an unknown node"
    if not check.ok:
        return f"{start} {made}: [bold red]{escape(check.verdict)}[/]"
    fetched = f"fetched from [bold cyan]{recording['answered_by']}[/] by [magenta]{recording['route']}[/]"
    wrong = misrouted(check)
    turns = f" after {wrong} wrong turn{'s' if wrong > 1 else ''}" if wrong else ""
    return f"{start} {made}, {fetched}{turns}, archived {recording['bytes']:,} bytes: [green]equal[/]"


def table(checks: Sequence[VisitCheck], balancer: str) -> Table:
    """Return a table of all visits."""
    drawn = Table(title=f"{len(checks)} visits through {label_of(balancer)}")
    for name in (
        "visit",
        "page",
        "made by",
        "answered by",
        "route",
        "attempts",
        "bytes",
        "outcome",
        "archived = served",
    ):
        drawn.add_column(name, justify="right" if name in {"visit", "attempts", "bytes"} else "left")
    for check in checks:
        recording = check.recording
        drawn.add_row(
            check.visit.id,
            escape(f"{check.visit.method} {check.visit.path.partition('?')[0]}"),
            check.served.node if check.served else "-",
            str(recording.get("answered_by") or "-"),
            str(recording.get("route") or "-"),
            str(len(recording.get("attempts", ()))),
            f"{recording.get('bytes') or 0:,}",
            str(recording.get("outcome") or "-"),
            "[green]yes[/]" if check.ok else f"[bold red]no:[/] {escape(check.verdict)}",
        )
    return drawn


def closing(checks: Sequence[VisitCheck], seconds: float) -> str:
    """Return the summary in one line."""
    good = sum(check.ok for check in checks)
    colour = "green" if good == len(checks) else "red"
    return (
        f"[bold {colour}]{good} of {len(checks)}[/] pages are in the archive exactly as they were served, each "
        f"fetched from the node that made it; {_lost(checks)} lost, "
        f"{sum(map(misrouted, checks))} wrong turns, {seconds:.1f} s."
    )


def json_document(checks: Sequence[VisitCheck], balancer: str, seconds: float) -> str:
    """Return all visits and the summary as JSON."""
    document = {
        "balancer": balancer,
        "visits": [_record(check) for check in checks],
        "archived": sum(check.recording.get("outcome") == "archived" for check in checks),
        "lost": _lost(checks),
        "misrouted_attempts": sum(map(misrouted, checks)),
        "seconds": round(seconds, 3),
    }
    return json.dumps(document, indent=1)


def json_line(check: VisitCheck) -> str:
    """Return one visit as a line of JSON."""
    return json.dumps(_record(check))


def misrouted(check: VisitCheck) -> int:
    """Return how many attempts reached another node."""
    return sum(attempt.get("result") == "misrouted" for attempt in check.recording.get("attempts", ()))


def _lost(checks: Sequence[VisitCheck]) -> int:
    return sum(check.recording.get("outcome") == "lost" for check in checks)


def _record(one: VisitCheck) -> dict[str, Any]:
    """Return the API's recording, completed by what visitor and application know."""
    empty = {"token": one.visit.token, "origin_node": None, "answered_by": None, "route": None, "outcome": None}
    return {
        **empty,
        **one.recording,
        "visit": one.visit.id,
        "made_by": one.served.node if one.served else None,
        "served_sha256": one.served.sha256 if one.served else None,
        "archived_sha256": one.archived_sha256 or None,
        "ok": one.ok,
        "problem": one.verdict or None,
    }
