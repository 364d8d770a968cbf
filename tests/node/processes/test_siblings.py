"""What processes of one node tell one another, and where their sockets lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbcompanion.node.processes.siblings import Frame, SocketFolder, page_frame, page_of
from lbcompanion.testing.stores import a_page


@pytest.mark.parametrize("body", [b"", b"\n", b"one\ntwo\x00"])
def test_a_frame_is_read_as_it_was_written(body: bytes) -> None:
    frame = Frame({"do": "put", "more": [1, None]}, body)
    assert Frame.read(frame.written()) == frame


@pytest.mark.parametrize("data", [b"", b"x\n", b"[]\n", b"1\nbody"])
def test_what_is_no_frame(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - also json's
        Frame.read(data)


def test_a_page_comes_through_whole() -> None:
    page = a_page("token", b"<p>\n\xff")
    frame = Frame.read(page_frame(page, do="put").written())
    assert frame.said["do"] == "put"
    assert page_of(frame) == page
    assert page_of(frame).sha256 == page.sha256


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
