"""The manual's table of dialects, made from the registry: ``python -m tests.sticky.dialects_table`` writes it anew."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from lbcompanion.sticky import dialects
from lbcompanion.sticky.dialects import ALL, Dialect, NodeFacts

FILE = Path(__file__).parent.parent.parent / "docs" / "dialects-table.inc"
HEAD = """\
.. list-table::
   :header-rows: 1
   :widths: 16 44 22 10 12

   * - Name
     - What it is
     - Cookie, where not configured
     - Replay
     - Computed from
"""
ADDRESSES = (
    "10.0.0.11:8080",
    "http://10.0.0.11:8080",
    "3f1b6b8a-2d5e-4c7f-6a90-1b2c",
    "4f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8",
)


def told(dialect: Dialect) -> str:
    """The first line of the dialect's file."""
    for module in vars(dialects).values():
        if getattr(module, "DIALECT", None) is dialect:
            return str(module.__doc__).partition("\n")[0]
    raise LookupError(dialect.name)


def computed_from(dialect: Dialect) -> str:
    def made(**facts: str) -> bool:
        return dialect.compute(NodeFacts(**facts), ("LB",)) is not None

    if made(name="n1"):
        return "name"
    if any(made(address=address) for address in ADDRESSES):
        with_key = dialect.compute(NodeFacts("", ADDRESSES[0], "k"), ("LB",)) != dialect.compute(
            NodeFacts("", ADDRESSES[0]), ("LB",)
        )
        return "address, key if set" if with_key else "address"
    return "address, key" if any(made(address=address, key="k") for address in ADDRESSES) else "–"


def replay(dialect: Dialect) -> str:
    if dialect.never_record:
        return "never"
    return "node reached" if dialect.moves_visitor else "safe"


def lines() -> Iterator[str]:
    yield HEAD
    for dialect in sorted(ALL, key=lambda each: each.name):
        yield f"   * - ``{dialect.name}``\n"
        yield f"     - {told(dialect)}\n"
        yield f"     - {', '.join(f'``{name}``' for name in dialect.cookie_names) or '–'}\n"
        yield f"     - {replay(dialect)}\n"
        yield f"     - {computed_from(dialect)}\n"


def text() -> str:
    return "".join(lines())


if __name__ == "__main__":
    FILE.write_text(text())
    sys.stdout.write(f"{FILE}\n")
