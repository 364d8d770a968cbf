"""The ten commands of the README: DokuWiki behind HAProxy, a real browser, and the first archived page."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from lbcompanion.demo.ports import ReservedPorts
from tests.support.children import Children, wait_for
from tests.support.dokuwiki import write_site
from tests.support.manual_console import ROOT
from tests.support.programs import need_program

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.network]

_BLOCK = re.compile(r"## The first archived page in ten commands\n.*?\n\n((?:    [^\n]*\n)+)", re.DOTALL)
#: The ports in the commands, and those that ``init`` writes into files.
SHOWN, WRITTEN = ("8080", "8081", "8082", "8000", "9201"), ("9101", "9102", "9200", "9201")


def commands() -> list[str]:
    """The commands of the README, each on one line."""
    found = _BLOCK.search((ROOT / "README.md").read_text())
    assert found is not None
    text = re.sub(r"(?m)^    ", "", found[1])
    lines = re.sub(r"\\\n *", "", text).splitlines()
    assert len(lines) <= 10
    return lines


def test_there_are_ten_and_they_install_what_they_need() -> None:
    install, environment, *others = commands()
    assert {"dokuwiki", "php-cli", "haproxy", "chromium", "curl"} <= set(install.split())
    assert "pip install ." in environment
    assert {line.split()[0] for line in others} <= {
        *("lbcompanion", "haproxy", "curl", "until", "PHP_CLI_SERVER_WORKERS=4")
    }


def _programs(folder: Path) -> str:
    """A folder with the programs of the commands, as they are on this machine."""
    folder.mkdir()
    found = {
        "lbcompanion": f"{shlex.quote(sys.executable)} -m lbcompanion.cli",
        "chromium": f"{need_program('chromium')} --user-data-dir={folder / 'profile'}",
        "haproxy": need_program("haproxy"),
        "curl": need_program("curl"),
        # The wiki of this test instead of that of the machine.
        "php": f"{need_program('php')} -d auto_prepend_file={folder.parent / 'before.php'}",
    }
    for name, command in found.items():
        (folder / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (folder / name).chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_they_lead_to_the_first_archived_page(tmp_path: Path) -> None:
    write_site(tmp_path / "wiki-files")
    pages = tmp_path / "wiki-files" / "data" / "pages"
    (pages / "wiki").mkdir()
    (pages / "wiki" / "syntax.txt").write_text("====== Formatting Syntax ======\n\nSome text.\n")
    (tmp_path / "before.php").write_text(f"<?php define('DOKU_CONF', '{tmp_path}/wiki-files/conf/');\n")
    reserved, children = ReservedPorts(), Children(tmp_path)
    ports = {shown: str(reserved.take()) for shown in dict.fromkeys((*SHOWN, *WRITTEN))}

    def here(text: str) -> str:
        return re.sub(rf"\b({'|'.join(SHOWN)})\b", lambda found: ports[found[1]], text)

    _install, _environment, init, *others = commands()
    moved = (
        "sed -i " + " ".join(f"-e s/{shown}/{ports[shown]}/g" for shown in WRITTEN) + " wiki/*.toml wiki/haproxy.cfg"
    )
    script = tmp_path / "script"
    script.write_text("\n".join([f"cd {shlex.quote(str(tmp_path))}", here(init), moved, *map(here, others)]) + "\n")
    try:
        child = children.start("script", ["bash", "-u", str(script)], PATH=_programs(tmp_path / "bin"))
        wait_for("the last command", child.died, 360)
        assert child.ended() == 0
        printed = child.log.read_text(errors="replace")
        answer = next(line for line in printed.splitlines() if line.startswith('{"recordings"'))
        (recording,) = json.loads(answer)["recordings"]
        assert (recording["outcome"], recording["status"], recording["by"]) == ("archived", 200, "browser")
        assert recording["url"] == here("http://127.0.0.1:8080/doku.php?id=wiki:syntax")
        assert any((tmp_path / "wiki").rglob("*.warc.gz"))
    finally:
        children.kill()
        reserved.release()
        shutil.rmtree(tmp_path / "bin" / "profile", ignore_errors=True)
