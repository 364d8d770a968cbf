"""Where the sockets of a node's processes lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from lbcompanion.errors import StoreError
from lbcompanion.node.processes.siblings import Siblings, SocketFolder
from lbcompanion.protocol.copies import Frame


def test_sockets_lie_in_a_folder_of_any_length(tmp_path: Path) -> None:
    folder = SocketFolder(tmp_path / ("x" * 100) / ("y" * 100))
    assert len(folder.path("1.sock")) < 107
    Path(folder.path("1.sock")).touch()
    Path(folder.path("other")).touch()
    assert folder.names() == ["1.sock"]
    assert folder.inode("1.sock") > 0
    folder.rename("1.sock", "2.sock")
    assert (folder.names(), folder.inode("1.sock")) == (["2.sock"], 0)
    folder.remove("2.sock")
    folder.remove("2.sock")
    assert folder.names() == []


def test_a_process_that_runs_and_does_not_respond_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    siblings = Siblings(state_dir=tmp_path, node="n1", group="a", reactor=None, max_body_bytes=1)
    folder = tmp_path / "siblings" / "n1"
    for name in ("a-answers.sock", "a-hangs.sock", "a-stops.sock"):
        (folder / name).touch()

    async def ask(name: str, request: Frame) -> Frame:
        if name == "a-answers.sock":
            return request
        if name == "a-stops.sock":
            os.unlink(folder / name)
        raise StoreError("a sibling gave no answer")

    monkeypatch.setattr(siblings, "ask", ask)
    asked = []
    Deferred.fromCoroutine(siblings.ask_all(Frame({"do": "peek"}))).addCallback(asked.append)
    assert list(asked[0].answers) == ["a-answers.sock"]
    assert asked[0].silent == ["a-hangs.sock"]
