"""Make constructors keyword-only: python tools/keyword_only.py CLASS...

For each class: ``*`` goes behind ``self`` in its ``__init__``, and each call of the class by name, everywhere in the tree, gets the
names of its parameters. Calls through another name (a factory, ``super().__init__``) are left: the type checker finds them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import libcst as cst

ROOT = Path(__file__).parent.parent


class Signatures(cst.CSTVisitor):
    """Reads the parameters of the classes' constructors."""

    def __init__(self, wanted: set[str]) -> None:
        self.wanted = wanted
        self.found: dict[str, list[str]] = {}

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        if node.name.value not in self.wanted:
            return
        for statement in node.body.body:
            if isinstance(statement, cst.FunctionDef) and statement.name.value == "__init__":
                assert node.name.value not in self.found, f"two classes are called {node.name.value}"
                self.found[node.name.value] = [param.name.value for param in statement.params.params[1:]]


class Rewrite(cst.CSTTransformer):
    """Changes definitions and calls."""

    def __init__(self, signatures: dict[str, list[str]]) -> None:
        self.signatures = signatures
        self.inside: list[str] = []

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        self.inside.append(node.name.value)

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> cst.ClassDef:
        self.inside.pop()
        return updated_node

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:
        if updated_node.name.value != "__init__" or not self.inside or self.inside[-1] not in self.signatures:
            return updated_node
        params = updated_node.params
        if isinstance(params.star_arg, cst.ParamStar) or len(params.params) < 2:
            return updated_node
        return updated_node.with_changes(
            params=params.with_changes(
                params=params.params[:1],
                star_arg=cst.ParamStar(),
                kwonly_params=[*params.params[1:], *params.kwonly_params],
            )
        )

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.Call:
        function = updated_node.func
        name = function.value if isinstance(function, cst.Name) else function.attr.value if isinstance(function, cst.Attribute) else ""
        if name not in self.signatures:
            return updated_node
        names = self.signatures[name]
        arguments = []
        for number, argument in enumerate(updated_node.args):
            if argument.keyword is None and not argument.star:
                argument = argument.with_changes(
                    keyword=cst.Name(names[number]),
                    equal=cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace("")),
                )
            arguments.append(argument)
        return updated_node.with_changes(args=arguments)


def main() -> None:
    """Read all signatures, then rewrite."""
    names = subprocess.run(("git", "ls-files", "*.py"), cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    files = [ROOT / name for name in names if not name.startswith("tools/")]
    signatures = Signatures(set(sys.argv[1:]))
    for path in files:
        text = path.read_text(encoding="utf-8")
        if path.is_relative_to(ROOT / "lbcompanion") and "class " in text:
            cst.parse_module(text).visit(signatures)
    missing = signatures.wanted - set(signatures.found)
    assert not missing, f"no constructor of {missing}"
    for path in files:
        text = path.read_text(encoding="utf-8")
        # Another class may have the name: only what is imported from the package, or defined in it, is meant.
        here = {
            name: params
            for name, params in signatures.found.items()
            if re.search(rf"from lbcompanion[\w.]* import [^#]*?\b{name}\b", text)
            or (path.is_relative_to(ROOT / "lbcompanion") and re.search(rf"^class {name}\b", text, re.M))
        }
        if not here:
            continue
        after = cst.parse_module(text).visit(Rewrite(here)).code
        if after != text:
            path.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
