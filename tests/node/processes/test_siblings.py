"""Where the sockets of a node's processes lie."""

from __future__ import annotations

from pathlib import Path

from lbcompanion.node.processes.siblings import SocketFolder


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
