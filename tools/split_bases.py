"""Cut bases out of test classes, so that tools/splits_0_support.txt can move them: python tools/split_bases.py.

The order, on a tree whose tests were moved by tools/moves_4_tests.txt: this; then tools/split_tests.py with
tools/splits_0_support.txt; then with tools/splits_1_tests.txt.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent
#: File, class with its base, the new base, the first member that stays behind.
BASES = (
    ("tests/node/copies/test_peers.py", "FourNodesTests(TestCase)", "FourNodes",
     "    @inlineCallbacks\n    def test_copies_go_to"),
    ("tests/crawler/admin/test_api.py", "ApiTests(SynchronousTestCase)", "ApiCase", "    def test_a_recording"),
    ("tests/crawler/routes/test_minting.py", "MinterTests(SynchronousTestCase)", "MinterCase",
     "    def test_a_cookie_for_each_node"),
)  # fmt: skip
SETTLE = "    def settle(self) -> None:\n        self.farm.clock.pump([0.05] * 200)\n"
PAGE = '''    PAGE = (
        b'<html><head><title>x</title><META http-equiv="Content-Security-Policy" '
        b'content="script-src &apos;nonce-abc\\'; img-src *"></head><body></body></html>'
    )
'''


def main() -> None:
    """Cut them out."""
    for name, found, base, first in BASES:
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        if base == "MinterCase":
            text = text.replace(SETTLE + "\n", "", 1).replace(first, f"{SETTLE}\n{first}", 1)
        begin, end = text.index(f"class {found}:"), text.index(first)
        own, old = found.removesuffix(")").split("(")
        head = text[begin:end].replace(f"class {own}({old})", f"class {base}({old})").rstrip()
        path.write_text(f"{text[:begin]}{head}\n\n\nclass {own}({base}):\n{text[end:]}", encoding="utf-8")
    path = ROOT / "tests/html/test_inject.py"
    text = path.read_text(encoding="utf-8")
    constant = PAGE.replace("    PAGE", "WITH_POLICY").replace("\n    ", "\n")
    assert f"class TestPolicies:\n{PAGE}" in text
    text = text.replace(f"class TestPolicies:\n{PAGE}", f"{constant}\n\nclass TestPolicies:\n    PAGE = WITH_POLICY\n")
    path.write_text(text.replace("TestPolicies.PAGE", "WITH_POLICY"), encoding="utf-8")


if __name__ == "__main__":
    main()
