"""Listening sockets: opened, shared, taken over, and the errors if that fails."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from lbcompanion.node.transports.sockets import open_sockets, remove_path
from tests.support.ports import free_port

pytestmark = pytest.mark.network


def close(*sockets: socket.socket) -> None:
    for one in sockets:
        one.close()


def test_each_description_gets_a_socket_in_its_place(tmp_path: Path) -> None:
    port = free_port()
    descriptions = [
        f"tcp6:{port}",
        f"tcp:{port}",
        "tcp:0:interface=127.0.0.1",
        f"haproxy:unix:{tmp_path}/a.sock:mode=600",
    ]
    six, four, any_port, unix = opened = open_sockets(descriptions)
    assert [one.family for one in opened] == [socket.AF_INET6, socket.AF_INET, socket.AF_INET, socket.AF_UNIX]
    assert six.getsockname()[:2] == ("::", port)
    assert four.getsockname() == ("0.0.0.0", port)
    assert any_port.getsockname()[1] > 0
    assert not any(one.getblocking() for one in opened)
    assert (tmp_path / "a.sock").stat().st_mode & 0o777 == 0o600
    for one in opened:
        with socket.socket(one.family) as asking:
            asking.connect(
                one.getsockname() if one is unix else ("127.0.0.1" if one.family == 2 else "::1", one.getsockname()[1])
            )
    remove_path(unix)
    assert not (tmp_path / "a.sock").exists()
    close(*opened)


def test_alone_tcp6_takes_ipv4_as_well() -> None:
    (six,) = open_sockets(["tcp6:0"])
    with socket.create_connection(("127.0.0.1", six.getsockname()[1])):
        pass
    six.close()


def test_a_socket_that_is_there_is_used(tmp_path: Path) -> None:
    descriptions = [f"tcp:{free_port()}:interface=127.0.0.1", f"unix:{tmp_path}/a.sock"]
    old = open_sockets(descriptions)
    new = open_sockets([*reversed(descriptions), "tcp:0:interface=127.0.0.1"], [one.dup() for one in old])
    assert [one.getsockname() for one in new[:2]] == [one.getsockname() for one in reversed(old)]
    # A connection that waits for the old is the new one's to take.
    with socket.create_connection(old[0].getsockname()):
        close(*old)
        new[1].setblocking(True)
        new[1].accept()[0].close()
    close(*new)


def test_an_error_is_reported_and_nothing_stays_open(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port, free = taken.getsockname()[1], free_port()
        wanted = f"tcp:{port}:interface=127.0.0.1"
        with pytest.raises(OSError, match=f"cannot listen on {wanted}: Address already in use"):
            open_sockets([f"tcp:{free}:interface=127.0.0.1", wanted])
    close(*open_sockets([f"tcp:{free}:interface=127.0.0.1"]))
    with pytest.raises(OSError, match="cannot listen on systemd:index=7: systemd handed over no such socket"):
        open_sockets(["systemd:index=7"])


def test_a_unix_socket_left_behind_is_replaced_and_one_in_use_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    (first,) = open_sockets([f"unix:{path}"])
    with pytest.raises(OSError, match="Address already in use"):
        open_sockets([f"unix:{path}"])
    first.close()
    assert path.exists()
    (second,) = open_sockets([f"unix:{path}"])
    second.close()
    path.unlink()
    path.write_text("no socket")
    with pytest.raises(OSError, match="Address already in use"):
        open_sockets([f"unix:{path}"])
    assert path.read_text() == "no socket"
