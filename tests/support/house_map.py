"""The floors of the house, and who imports what: docs/house.rst is kept true by these."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

#: From the ground up: a room may look into those of its own floor and of the floors below. ``node.proxy`` is a district
#: of the room ``node``: each district, and each module beside them, has a floor within it.
FLOORS = (
    ("errors", "model", "bounded_cache", "failing_parts"),
    ("settings", "checks", "endpoints", "protocol", "http1", "html", "sticky", "recorder", "web"),
    ("schema_migrations", "logs", "loops", "malloc_tuning", "balancer_config", "plugins", "client"),
    ("stores",),
    ("config",),
    ("node", "crawler"),
    ("doctor", "demo"),
    ("run",),
    ("cli",),
)
DISTRICTS = {
    "node": (
        ("metrics", "health"),
        ("proxy",),
        ("transports",),
        ("processes",),
        ("copies",),
        ("notices",),
        ("capture",),
        ("endpoints",),
        ("wiring", "readiness", "copy_drain"),
        ("service",),
    ),
    "crawler": (
        ("metrics", "activity", "health", "crawler_name", "threads"),
        ("fetching", "access"),
        ("queue",),
        ("routes", "outcome_watch"),
        ("archive",),
        ("erasure",),
        ("crawl", "replay", "webhooks"),
        ("admin",),
        ("sites", "dns_check", "activity_writer", "listeners"),
        ("service", "fetch_command", "user_command"),
        ("erase_command",),
    ),
}
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}
DISTRICT_FLOOR_OF = {
    f"{room}.{district}": number
    for room, floors in DISTRICTS.items()
    for number, floor in enumerate(floors)
    for district in floor
}


#: An import at any depth: ``from MODULE`` and the names, in brackets or up to the end of the line.
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+)?import[ \t]+(?:\(([^)]*)\)|([^(\n]+))", re.MULTILINE)
_COMMENT = re.compile(r"#.*")


def imported_names(text: str) -> Iterator[str]:
    """The whole names that a module imports, found without parsing it: a fiftieth of the time.

    tests/test_arrows.py checks that :func:`imports` finds the same in every module of the package.
    """
    for module, bracketed, line in _IMPORT.findall(text):
        for part in _COMMENT.sub("", bracketed or line).split(","):
            if words := part.split():
                yield f"{module}.{words[0]}" if module else words[0]


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All statements, at any depth; no expression is looked at, which spares most of ``ast.walk``'s time."""
    for field in ("body", "orelse", "handlers", "finalbody", "cases"):
        for each in getattr(tree, field, ()):
            yield each
            yield from statements(each)


def imports(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The whole names that are imported in a tree, of which these are the statements."""
    for each in nodes:
        if isinstance(each, ast.Import):
            yield from (alias.name for alias in each.names)
        elif isinstance(each, ast.ImportFrom):
            assert each.level == 0, "imports name the whole path"
            yield from (f"{each.module}.{alias.name}" for alias in each.names)
