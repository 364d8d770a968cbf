"""Move modules and rewrite every mention of them: python tools/move_modules.py TABLE.

A line of the table is ``old new``, both paths from the root (``lbcompanion/wire.py lbcompanion/protocol/notices.py``);
a path that ends in ``/`` is a folder with all that it holds. Empty lines and lines that begin with ``#`` are skipped. The program calls
``git mv``, makes the packages that are missing, and rewrites the dotted names and the paths in code, documentation and
build files in one pass, so that a new name may be the beginning of an old one. Nothing else is changed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEXTS = (".py", ".rst", ".md", ".toml", ".txt", ".in", ".inc", ".js", ".vtc", ".c", ".cfg", ".yml")
FROM_PACKAGE = re.compile(r"^(?P<indent>[ \t]*)from (?P<package>[a-z_0-9.]+) import (?P<names>\([^)]*\)|[^\n(]*)$", re.M)


def git(*arguments: str) -> str:
    """Run git at the root; its output."""
    return subprocess.run(("git", *arguments), cwd=ROOT, check=True, capture_output=True, text=True).stdout


def dotted(path: str) -> str:
    """The module's dotted name."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def table(path: Path) -> dict[str, str]:
    """Old file to new file, folders spelled out."""
    moves: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        old, new = line.split()
        if old.endswith("/"):
            for found in git("ls-files", old).split():
                moves[found] = new + found.removeprefix(old)
        else:
            moves[old] = new
    return moves


def rewritten_imports(text: str, modules: dict[str, str]) -> str:
    """``from package import module`` where the module has moved: an import of its own, under its old name."""

    def one(match: re.Match[str]) -> str:
        package, indent = match["package"], match["indent"]
        raw = match["names"]
        comment = ""
        if "#" in raw and not raw.startswith("("):
            raw, _, comment = raw.partition("#")
            comment = "  #" + comment
        names = [name.strip() for name in raw.strip("() \n").split(",") if name.strip()]
        moved = {name: modules[f"{package}.{name.split()[0]}"] for name in names if f"{package}.{name.split()[0]}" in modules}
        if not moved:
            return match[0]
        lines = []
        rest = [name for name in names if name not in moved]
        if rest:
            lines.append(f"{indent}from {package} import {', '.join(rest)}{comment}")
        for name, new in moved.items():
            parent, _, leaf = new.rpartition(".")
            alias = name.split(" as ")[1] if " as " in name else name
            lines.append(f"{indent}from {parent} import {leaf}" + ("" if leaf == alias else f" as {alias}") + comment)
        return "\n".join(lines)

    return FROM_PACKAGE.sub(one, text)


def main() -> None:
    """Move, then rewrite."""
    moves = table(Path(sys.argv[1]))
    modules = {dotted(old): dotted(new) for old, new in moves.items() if old.endswith(".py")}
    for old, new in moves.items() if "--mentions-only" not in sys.argv else ():
        target = ROOT / new
        target.parent.mkdir(parents=True, exist_ok=True)
        git("mv", old, new)
    for new in moves.values():
        folder = (ROOT / new).parent
        while folder != ROOT and folder.parts[-1] not in ("bench", "docs") and new.endswith(".py"):
            if not (folder / "__init__.py").exists() and any(folder.glob("*.py")) and folder.name != "plugins":
                (folder / "__init__.py").write_text("", encoding="utf-8")
                git("add", str(folder / "__init__.py"))
            folder = folder.parent
    # One pass: the dotted names, then the paths as they stand in texts (with and without the package in front).
    names = dict(modules)
    for old, new in moves.items():
        names[old] = new
        if old.startswith("lbcompanion/"):
            short_old, short_new = old.removeprefix("lbcompanion/"), new.removeprefix("lbcompanion/")
            if "/" in short_old:
                names[short_old] = short_new
    alternatives = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    mention = re.compile(rf"(?<![\w./-])(?:{alternatives})(?![\w/]|\.py)")
    for name in git("ls-files").split("\n"):
        path = ROOT / name
        if path.suffix not in TEXTS and path.name not in ("Makefile", "run", "programs") or name.startswith("tools/"):
            continue
        if not path.is_file() or path.is_symlink():
            continue
        before = path.read_text(encoding="utf-8")
        after = rewritten_imports(before, modules) if path.suffix == ".py" else before
        after = mention.sub(lambda match: names[match[0]], after)
        if after != before:
            path.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
