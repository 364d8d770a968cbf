"""A port that was taken stays free for the one it is meant for."""

from __future__ import annotations

import socket

import pytest

from lbcompanion.demo.ports import LOOPBACK, ReservedPorts

pytestmark = pytest.mark.network


def test_all_differ():
    ports = ReservedPorts()
    try:
        assert len({ports.take() for _ in range(50)}) == 50
    finally:
        ports.release()


def test_a_listener_gets_it_while_it_is_held():
    ports = ReservedPorts()
    port = ports.take()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen()
        ports.release()
        with socket.create_connection((LOOPBACK, port), timeout=2):
            pass


def test_others_do_not():
    ports = ReservedPorts()
    port = ports.take()
    try:
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind((LOOPBACK, port))
    finally:
        ports.release()
