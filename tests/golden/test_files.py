"""The golden files and the tests belong together; and only one module of the tests knows the product."""

from __future__ import annotations

import re
from pathlib import Path

from tests.golden.golden import EXPECTED

HERE = Path(__file__).parent


def test_no_file_is_left_over() -> None:
    names = {name for path in HERE.glob("test_*.py") for name in re.findall(r'Golden\("(\w+)"', path.read_text())}
    assert {path.stem for path in EXPECTED.rglob("*.*")} == names


def test_only_the_drive_imports_the_product() -> None:
    product = re.compile(r"(?m)^\s*(from|import) (lbcompanion|tests\.(?!golden))")
    assert [path.name for path in sorted(HERE.glob("*.py")) if product.search(path.read_text())] == ["drive.py"]
