"""Rename identifiers: python tools/rename_names.py TABLE [--check].

A line of the table is ``old new`` and then, where the name means several things, the files that are meant:
``take receive lbcompanion/node/copies/** tests/node/copies/**``; ``!glob`` leaves files out. ``.old new`` renames the
name only behind a dot, in a ``def`` and as a keyword argument or annotated field (an attribute), ``=old new`` only where no dot
stands before it. Python names are changed by their tokens: strings and comments stay as they are, but for names within double back-quotes
or a role (``:class:`Old```) of docstrings and of the manual, where the whole word is the old name. Run ruff afterwards: imports
change their order.
"""

from __future__ import annotations

import fnmatch
import io
import re
import subprocess
import sys
import tokenize
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass
class Rename:
    """One line of the table."""

    old: str
    new: str
    kind: str
    files: list[str]
    left_out: list[str]
    count: int = 0

    def meant(self, name: str) -> bool:
        """Whether this file is meant."""
        inside = not self.files or any(fnmatch.fnmatch(name, glob) for glob in self.files)
        return inside and not any(fnmatch.fnmatch(name, glob) for glob in self.left_out)


def table(path: Path) -> list[Rename]:
    """The lines."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        old, new, *files = line.split()
        kind = old[0] if old[0] in ".=" else ""
        found.append(
            Rename(
                old.lstrip(".="),
                new,
                kind,
                [name for name in files if not name.startswith("!")],
                [name[1:] for name in files if name.startswith("!")],
            )
        )
    return found


LITERAL = re.compile(r"``[^`\n]+``|:[a-z:]+:`[^`\n]+`")


def in_text(text: str, rename: Rename) -> str:
    """Names marked as code in prose."""
    if rename.kind == "=":
        return text
    word = re.compile(rf"(?<!\w){re.escape(rename.old)}(?!\w)")

    def one(match: re.Match[str]) -> str:
        renamed, count = word.subn(rename.new, match[0])
        rename.count += count
        return renamed

    return LITERAL.sub(one, text)


def in_code(source: str, renames: list[Rename]) -> str:
    """The source with its NAME tokens renamed."""
    by_name: dict[str, list[Rename]] = {}
    for rename in renames:
        by_name.setdefault(rename.old, []).append(rename)
    if not any(name in source for name in by_name):
        return source
    lines = source.splitlines(keepends=True)
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    edits: list[tuple[int, int, int, str]] = []
    depth = 0
    for number, token in enumerate(tokens):
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
        if token.type != tokenize.NAME or token.string not in by_name:
            continue
        before = tokens[number - 1].string if number else ""
        after = tokens[number + 1].string if number + 1 < len(tokens) else ""
        attribute = before in (".", "def", "class") or (after == "=" and depth > 0) or (
            after in (":", "=") and tokens[number - 1].type in (tokenize.INDENT, tokenize.NEWLINE, tokenize.DEDENT, tokenize.NL)
            and depth == 0
        )
        for rename in by_name[token.string]:
            if rename.kind == "." and not attribute:
                continue
            if rename.kind == "=" and before == ".":
                continue
            rename.count += 1
            edits.append((token.start[0] - 1, token.start[1], token.end[1], rename.new))
            break
    # Text of strings (3.11: f-strings are one token) is left alone; prose is done by in_text.
    for row, start, end, new in reversed(edits):
        lines[row] = lines[row][:start] + new + lines[row][end:]
    return "".join(lines)


def in_f_strings(source: str, renames: list[Rename]) -> str:
    """Names within the braces of f-strings (one token before Python 3.12)."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = source.splitlines(keepends=True)
    spans = [
        (token.start, token.end)
        for token in tokens
        if token.type == tokenize.STRING and re.match(r"(?i)(?:rf|fr|f)['\"]", token.string)
    ]
    if not spans:
        return source
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    for (row, column), (end_row, end_column) in reversed(spans):
        begin, end = starts[row - 1] + column, starts[end_row - 1] + end_column
        piece = source[begin:end]

        def braces(match: re.Match[str]) -> str:
            inside = match[0]
            for rename in renames:
                dot = r"(?<=\.)" if rename.kind == "." else r"(?<![\w])" if rename.kind == "" else r"(?<![\w.])"
                new = re.sub(rf"{dot}{re.escape(rename.old)}(?!\w|=)", rename.new, inside)
                rename.count += new != inside
                inside = new
            return inside

        changed = re.sub(r"(?<!\{)\{(?!\{)[^{}]*\}", braces, piece)
        source = source[:begin] + changed + source[end:]
    return source


def main() -> None:
    """Rename in all files of the repository."""
    renames = table(Path(sys.argv[1]))
    names = subprocess.run(("git", "ls-files"), cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
    for name in names:
        path = ROOT / name
        if path.suffix not in (".py", ".rst", ".md") or name.startswith(("tools/", "changes/")) or not path.is_file():
            continue
        here = [rename for rename in renames if rename.meant(name)]
        if not here:
            continue
        before = path.read_text(encoding="utf-8")
        after = before
        if path.suffix == ".py":
            after = in_f_strings(in_code(after, here), here)
        for rename in here:
            after = in_text(after, rename)
        if after != before:
            path.write_text(after, encoding="utf-8")
    for rename in renames:
        print(f"{rename.count:5} {rename.kind}{rename.old} {rename.new}")
        if not rename.count:
            print(f"      nothing was found for {rename.old}", file=sys.stderr)


if __name__ == "__main__":
    main()
