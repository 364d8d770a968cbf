"""``check-config``."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.cli import init, run


def test_errors_come_as_json(tmp_path: Path) -> None:
    assert init(tmp_path).exit_code == 0
    file = tmp_path / "n1.toml"
    file.write_text(file.read_text().replace("state_dir", "state_dri").replace("dialect = ", "dialect = 5 #"))
    done = run("check-config", file, "--json")
    assert done.exit_code == 2
    printed = json.loads(done.stdout)
    assert printed["ok"] is False
    assert [error["key"] for error in printed["errors"]] == ["node.state_dri", "sticky.dialect"]
    assert set(printed["errors"][0]) == {"file", "key", "value", "allowed"}
