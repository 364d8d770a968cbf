"""Writes the manual's pages on balancers and clouds: ``python docs/balancer_pages.py``.

The words come from ``docs/balancer-pages.toml``, the tables of cookies from the dialects. Tests compare the pages with
the output of this program, and the file with the code and with the balancers' programs.
"""

from __future__ import annotations

import sys
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from lbcompanion.sticky.dialects import by_name
from lbcompanion.sticky.dialects.interface import Dialect

DOCS = Path(__file__).resolve().parent
DATA = DOCS / "balancer-pages.toml"
#: Longer values of example cookies are cut in the pages.
_SHOWN = 14


@frozen
class Page:
    """One balancer or cloud, as the data file has it.

    :ivar prelude: what has to stand before ``balancer`` for the program to read it; not shown.
    :ivar listen: the part of ``balancer`` that says where visitors come, and what a test writes there.
    :ivar words: other names, by which the manual's search finds the page.
    :ivar doctor: each finding besides ``replay``, ``configured`` and ``journey``, with a remark.
    """

    name: str
    title: str
    dialects: Sequence[str]
    sticks: str
    language: str
    balancer: str
    write: str
    node: str
    crawler: str
    headers: str
    doctor: Sequence[tuple[str, str]]
    cannot: Sequence[str]
    program: str = ""
    versions: Sequence[str] = ()
    manuals: Sequence[tuple[str, str, str]] = ()
    prelude: str = ""
    listen: Sequence[str] = ()
    words: Sequence[str] = ()

    @property
    def file(self) -> Path:
        """The page in the manual."""
        return DOCS / f"balancer-{self.name}.rst"


def pages() -> tuple[Page, ...]:
    """Read the data file."""
    return tuple(Page(**entry) for entry in tomllib.loads(DATA.read_text())["page"])


def files() -> Mapping[Path, str]:
    """All files that this program writes, with their texts."""
    every = pages()
    return {DOCS / "balancers-table.inc": overview(every), **{page.file: text(page) for page in every}}


def text(page: Page) -> str:
    """One page."""
    heading = page.title
    parts = [
        f".. Written by docs/balancer_pages.py from docs/balancer-pages.toml.\n\n{heading}\n{'=' * len(heading)}\n",
        f".. index:: {', '.join(f'! {word}' for word in (_plain(page.title), *page.words))}\n",
        "\n".join(_marked(page)),
        _section("What sticks", page.sticks.strip() + "\n\n" + "".join(_cookies(page.dialects))),
        _section("What to write in the balancer", _block(page.language, page.balancer) + "\n" + page.write.strip()),
        _section(
            "What to write in lbcompanion",
            "In each node's file; ``trusted_proxies`` has the balancer's addresses:\n\n"
            + _block("toml", page.node)
            + "\nIn the crawler's file:\n\n"
            + _block("toml", page.crawler).rstrip(),
        ),
        _section("Host and forwarding headers", page.headers.strip()),
        _section("What the doctor says", "\n".join(_findings(page))),
        _section("What cannot work", "\n".join(_item(one) for one in page.cannot)),
    ]
    return "\n".join(parts)


def _plain(title: str) -> str:
    """A title without what stands in brackets."""
    return title.partition(" (")[0]


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _item(text: str) -> str:
    return _wrapped(f"* {text}", "  ")


def _section(title: str, body: str) -> str:
    return f"{title}\n{'-' * len(title)}\n\n{body.rstrip()}\n"


def _block(language: str, body: str) -> str:
    lines = [f"   {line}".rstrip() for line in body.strip("\n").splitlines()]
    return f".. code-block:: {language}\n\n" + "\n".join(lines) + "\n"


def _marked(page: Page) -> Iterator[str]:
    if page.program:
        yield _wrapped(
            f"*Run here*, with {' and '.join(page.versions)}: tests check the configuration below with the program, "
            "run it before two companions, and compare what the doctor says with this page.\n"
        )
        yield ""
        return
    yield "*By the vendor's manual*; it was not run here:\n"
    yield from (_item(f"`{title} <{address}>`__, {date}") for title, date, address in page.manuals)
    yield ""


def _cookies(names: Sequence[str]) -> Iterator[str]:
    """A table of the dialects: an example of each cookie, and what is done with it."""
    yield ".. list-table::\n   :header-rows: 1\n   :widths: 22 40 22 16\n\n"
    yield "   * - dialect\n     - example\n     - recorded\n     - replay\n"
    for name in names:
        dialect = by_name(name)
        sample = dialect.samples[0]
        recorded = ", ".join(f"``{cookie}={_cut(value)}``" for cookie, value in sample.reads)
        example = "; ".join(f"``{_cut_pair(pair)}``" for pair in sample.cookie.split("; "))
        yield f"   * - ``{name}``\n     - {example}\n     - {recorded or 'nothing'}\n     - {_replay(dialect)}\n"


def _cut(value: str) -> str:
    return value if len(value) <= _SHOWN else f"{value[: _SHOWN - 3]}..."


def _cut_pair(pair: str) -> str:
    name, _, value = pair.partition("=")
    return f"{name}={_cut(value)}"


def _replay(dialect: Dialect) -> str:
    return "node reached" if dialect.moves_visitor else "safe"


def _findings(page: Page) -> Iterator[str]:
    yield "Where everything is right: ``replay``, ``configured`` and ``journey``" + (
        "." if not page.doctor else ", and:"
    )
    if page.doctor:
        yield ""
    yield from (f"* ``{code}``: {remark}" for code, remark in page.doctor)
    yield "\n:doc:`doctor` explains all findings."


def overview(every: Sequence[Page]) -> str:
    """The table of all pages, which also puts them into the navigation."""
    lines = [".. list-table::\n   :header-rows: 1\n   :widths: 34 32 34\n\n"]
    lines.append("   * - balancer or cloud\n     - the usual dialect\n     - the page is\n")
    for page in every:
        source = f"run here: {', '.join(page.versions)}" if page.program else "by the vendor's manual"
        lines.append(f"   * - :doc:`{page.file.stem}`\n     - ``{_dialect(page)}``\n     - {source}\n")
    lines.append("\n.. toctree::\n   :hidden:\n\n")
    lines += [f"   {page.file.stem}\n" for page in every]
    return "".join(lines)


def _dialect(page: Page) -> str:
    return str(tomllib.loads(page.node)["sticky"]["dialect"])


def main() -> int:
    """Write the files."""
    for path, content in files().items():
        path.write_text(content)
    sys.stdout.write(f"{len(files())} files in {DOCS}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
