"""Move tests from one test file to another: python tools/split_tests.py TABLE; then format with ruff.

A table has entries of this form; ``*`` in a name stands for anything, ``Class.test_x`` for a method, ``!pytestmark``
says that the new file does without the old one's marks::

    tests/old/test_a.py tests/new/test_b.py The docstring of the new file.
        test_one test_two TestThree

What only the moved tests use moves along: constants, helpers, fixtures. What both use is copied, and named on standard
output, so that larger things can be moved to ``tests/support`` first: by entries whose target is there, which name
helpers. Names that are gone are skipped, and named too.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

from attrs import define, field

ROOT = Path(__file__).parent.parent
RUFF = ROOT / ".venv" / "bin" / "ruff"


@define
class Statement:
    """A statement at the top of a module, with the comments before it."""

    node: ast.stmt
    text: str
    names: set[str] = field(factory=set)
    uses: set[str] = field(factory=set)
    close: bool = False

    @property
    def is_import(self) -> bool:
        return isinstance(self.node, ast.Import | ast.ImportFrom)

    @property
    def is_test(self) -> bool:
        """Whether it is collected by pytest, or does something of its own."""
        if isinstance(self.node, ast.FunctionDef | ast.AsyncFunctionDef):
            return self.node.name.startswith("test_")
        if isinstance(self.node, ast.ClassDef):
            bases = [ast.unparse(base) for base in self.node.bases]
            return self.node.name.startswith("Test") or self.node.name.endswith("Tests") or any(base.endswith(("TestCase", "SqliteCase")) for base in bases)
        return not self.names or any(name.startswith("Test") for name in self.names)


def statements(text: str) -> list[Statement]:
    """The statements of a module, the docstring left out."""
    lines = text.splitlines(keepends=True)
    found, last = [], 0
    for node in ast.parse(text).body:
        assert node.end_lineno is not None
        raw = "".join(lines[last : node.end_lineno])
        one = Statement(node, raw.strip("\n"), close=not raw.startswith("\n"))
        last = node.end_lineno
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            one.names.add(node.name)
            one.names |= {name for each in node.decorator_list for name in re.findall(r'fixture\(.*?name="(\w+)"', ast.unparse(each).replace("'", '"'))}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            one.names |= {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
        for each in ast.walk(node):
            if isinstance(each, ast.Name):
                one.uses.add(each.id)
            elif isinstance(each, ast.arg):
                one.uses.add(each.arg)
            elif isinstance(each, ast.Constant) and isinstance(each.value, str) and each.value.isidentifier():
                one.uses.add(each.value)  # usefixtures("name"), and annotations in quotes
        found.append(one)
    return found


def needed(roots: list[Statement], helpers: list[Statement]) -> list[Statement]:
    """The helpers that these need, directly or not."""
    wanted = {name for one in roots for name in one.uses}
    chosen: list[Statement] = []
    while more := [one for one in helpers if one not in chosen and one.names & wanted]:
        chosen += more
        wanted |= {name for one in more for name in one.uses}
    return [one for one in helpers if one in chosen]


def written(docstring: str, imports: list[Statement], rest: list[Statement]) -> str:
    """The text of a module."""
    text = f'"""{docstring}"""\n\n' if docstring else ""
    text += "\n".join(one.text for one in imports) + "\n"
    before = None
    for one in rest:
        together = isinstance(one.node, ast.Assign) and isinstance(before, ast.Assign) and not SECTION.match(one.text)
        text += ("\n" if together and one.close else "\n\n\n") + one.text
        before = one.node
    return text + "\n"


#: A comment of its own before a statement: it is about all that follows.
SECTION = re.compile(r"\A((?:#[^\n]*\n)+)\n+")


def with_sections(body: list[Statement], left: list[Statement]) -> list[Statement]:
    """What is left, each section's comment before the first statement that is left of it."""
    heading, found = "", []
    for one in body:
        if match := SECTION.match(one.text):
            heading = match[1]
        if one in left:
            text = SECTION.sub("", one.text)
            found.append(Statement(one.node, f"{heading}\n\n{text}" if heading else text, one.names, one.uses, one.close))
            heading = ""
    return found


LIFE = ("setUp", "tearDown", "setUpClass", "tearDownClass")


def divided(one: Statement, patterns: list[str]) -> tuple[Statement, Statement] | None:
    """A class as what stays and what goes; None where nothing goes."""
    assert isinstance(one.node, ast.ClassDef)
    wanted = [pattern.partition(".")[2] for pattern in patterns if pattern.partition(".")[0] == one.node.name]
    members = statements_of_body(one)
    going = [each for each in members if any(fnmatchcase(name, pattern) for name in each.names for pattern in wanted)]
    if not going:
        return None
    helpers = [each for each in members if each not in going and not each.is_test]
    tests = [each for each in members if each not in going and each.is_test]
    life = [each for each in helpers if each.names & set(LIFE)]
    theirs, ours = needed(life + going, helpers), needed(life + tests, helpers)
    header = one.text[: one.text.index(members[0].text)].rstrip()
    chosen = [each for each in members if each in going or each in theirs or each in life]
    left = [each for each in members if each not in going and (each not in theirs or each in ours or each in life)]
    # A docstring of the class stays in the header of both.
    return tuple(  # type: ignore[return-value]
        statements(header + "\n" + "\n\n".join(each.text for each in some))[0] for some in (left, chosen)
    )


def statements_of_body(one: Statement) -> list[Statement]:
    """The members of a class; what they use is what they have of ``self``."""
    assert isinstance(one.node, ast.ClassDef)
    parsed = ast.parse(one.text).body[0]
    assert isinstance(parsed, ast.ClassDef)
    lines, found = one.text.splitlines(keepends=True), []
    body = parsed.body[1:] if isinstance(parsed.body[0], ast.Expr) else parsed.body
    last = parsed.body[0].end_lineno if isinstance(parsed.body[0], ast.Expr) else None
    for node in body:
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
        text = "".join(lines[(first - 1 if last is None else last) : node.end_lineno]).strip("\n")
        last = node.end_lineno
        member = Statement(node, text)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            member.names.add(node.name)
        elif isinstance(node, ast.Assign):
            member.names |= {each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)}
        member.uses |= {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
        member.uses |= {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        found.append(member)
    return found


def split(source: Path, target: Path, docstring: str, patterns: list[str]) -> None:
    """One entry of the table."""
    text = source.read_text(encoding="utf-8")
    found = statements(text)
    forced = []
    for number, one in enumerate(found):
        if isinstance(one.node, ast.ClassDef) and (parts := divided(one, patterns)):
            found[number] = parts[0]
            forced.append(parts[1])
    for pattern in patterns:
        if "." not in pattern and pattern[0] != "!" and not any(fnmatchcase(name, pattern) for one in found for name in one.names):
            print(f"{source.relative_to(ROOT)} has no {pattern}")
    imports = [one for one in found if one.is_import]
    marks = [one for one in found if "pytestmark" in one.names]
    body = [one for one in found if not one.is_import and one not in marks]
    moved = [one for one in body if any(fnmatchcase(name, pattern) for name in one.names for pattern in patterns)]
    moved += forced
    if not moved:
        return
    helpers = [one for one in body if not one.is_test and one not in moved]
    autouse = [one for one in helpers if "autouse=True" in one.text]
    staying = [one for one in body if one not in moved and one not in helpers]
    theirs, ours = needed(moved, helpers), needed(staying, helpers)
    theirs = [one for one in theirs if not any(one.names & each.names for each in forced)]
    for one in theirs:
        if one in ours:
            print(f"copied to {target.relative_to(ROOT)}: {', '.join(sorted(one.names))} ({one.text.count(chr(10)) + 1} lines)")
    taken = [one for one in body if one in moved or one in theirs or one in autouse] + forced
    left = [one for one in body if one not in moved and (one not in theirs or one in ours or one in autouse)]
    if "support" in target.parts:
        marks_there: list[Statement] = []
        gone = {name for one in taken if one not in left for name in one.names}
        if names := sorted(gone & {name for one in left for name in one.uses}):
            line = f"from {'.'.join(target.relative_to(ROOT).with_suffix('').parts)} import {', '.join(names)}"
            imports = [*imports, Statement(ast.parse(line).body[0], line)]
    else:
        marks_there = marks
    if target.exists():
        there = target.read_text(encoding="utf-8")
        docstring = ast.get_docstring(ast.parse(there), clean=False) or docstring
        present = statements(there)
        known = {name for one in present for name in one.names}
        texts = {one.text for one in present}
        for one in taken:
            if one.names & known and one.text not in texts:
                print(f"{target.relative_to(ROOT)} has another {', '.join(sorted(one.names & known))}")
        taken = [one for one in present if not one.is_import] + [one for one in taken if not one.names & known]
        imports_there = [one for one in [*present, *found] if one.is_import]
    else:
        taken, imports_there = ([] if "!pytestmark" in patterns else marks_there) + taken, [one for one in found if one.is_import]
        target.parent.mkdir(parents=True, exist_ok=True)
        for folder in (target.parent, *target.parent.parents):
            if folder == ROOT:
                break
            (folder / "__init__.py").touch()
    own = ".".join(target.relative_to(ROOT).with_suffix("").parts)
    imports_there = [one for one in imports_there if getattr(one.node, "module", "") != own]
    left = with_sections(body, left)
    for one in taken:
        one.text = SECTION.sub("", one.text)
    target.write_text(written(docstring, imports_there, taken), encoding="utf-8")
    old_docstring = ast.get_docstring(ast.parse(text), clean=False) or ""
    if any(one.is_test for one in left):
        source.write_text(written(old_docstring, imports, marks + left), encoding="utf-8")
    else:
        source.unlink()
    for path in (source, target):
        if path.exists():
            subprocess.run([RUFF, "check", "-q", "--select", "F401,I", "--fix", path], check=False, cwd=ROOT)
            subprocess.run([RUFF, "format", "-q", path], check=True, cwd=ROOT)


def main() -> None:
    """All entries, in their order."""
    entries: list[tuple[str, str, str, list[str]]] = []
    for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line[0].isspace():
            entries[-1][3].extend(line.split())
        else:
            source, target, docstring = [*line.split(" ", 2), ""][:3]
            entries.append((source, target, docstring, []))
    for source, target, docstring, names in entries:
        split(ROOT / source, ROOT / target, docstring, names)


if __name__ == "__main__":
    main()
