"""The floors of the house, and who imports what: docs/house.rst is kept true by these."""

from __future__ import annotations

import ast
from collections.abc import Iterator

#: From the ground up: a room may look into those of its own floor and of the floors below.
FLOORS = (
    ("errors", "model"),
    (
        *("settings", "allowed", "endpoint_strings", "store_urls", "certificates", "config_tables", "config"),
        *("tokens", "signatures", "wire", "http1", "html", "sticky"),
    ),
    ("stores", "logs", "balancers", "plugins"),
    ("node", "crawler"),
    ("doctor", "demo"),
    ("cli", "running", "starters", "tap", "crawler_tap", "worker"),
)


FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}


def imports(tree: ast.AST) -> Iterator[str]:
    for each in ast.walk(tree):
        if isinstance(each, ast.Import):
            yield from (alias.name for alias in each.names)
        elif isinstance(each, ast.ImportFrom):
            assert each.level == 0, "imports name the whole path"
            yield from (f"{each.module}.{alias.name}" for alias in each.names)
