"""The worker process of a node. :mod:`lbcompanion.node.processes.supervisor` starts it, never a user."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import socket
import threading
from contextlib import suppress
from typing import Any

from lbcompanion import plugins
from lbcompanion.node.processes.process_role import ProcessRole
from lbcompanion.node.processes.supervisor import (
    COMMANDS_FD,
    COPY_OUTCOME,
    FIRST_SOCKET_FD,
    LEAVE,
    REPORTS_FD,
    STARTED,
    WorkerSpec,
)
from lbcompanion.node.transports.selector import new_event_loop
from lbcompanion.run import foreground


def main() -> int:
    """Serve until the supervisor orders the worker to leave, or ends.

    :returns: the exit code.
    """
    # Ctrl-C on a terminal must reach only the supervisor, which stops its workers itself.
    os.setpgid(0, 0)
    spec = read_spec(COMMANDS_FD)
    plugins.load_dialects()
    sockets = tuple(socket.socket(fileno=FIRST_SOCKET_FD + at) for at in range(len(spec.settings.node.listen)))
    from twisted.internet import asyncioreactor

    loop = new_event_loop()
    asyncio.set_event_loop(loop)
    asyncioreactor.install(loop)
    from twisted.internet import reactor

    from lbcompanion.node.service import NodeService

    # The supervisor has made a store already, so a ConfigError cannot occur here.
    service = NodeService(spec.settings, reactor, loop, role=ProcessRole(spec.group, spec.number, sockets))
    # The supervisor sends SIGHUP to each worker that has started. Without a handler the signal would end it.
    foreground.reload_on_sighup(reactor, service.reload)
    service.started.addCallback(lambda _: os.write(REPORTS_FD, STARTED))
    service.started.addErrback(lambda _: None)
    threading.Thread(target=_wait_for_leave_order, args=(reactor, service), daemon=True).start()
    code = foreground.run_service(service, reactor, json_lines=spec.json_lines)
    with suppress(OSError):  # the supervisor may have ended
        os.write(REPORTS_FD, COPY_OUTCOME + json.dumps(service.copy_outcome).encode() + b"\n")
    return code


def read_spec(descriptor: int) -> WorkerSpec:
    """Read the specification, which the supervisor writes first.

    :raises EOFError: if the supervisor has ended already.
    """
    size = int.from_bytes(_read_exactly(descriptor, 4), "big")
    spec: WorkerSpec = pickle.loads(_read_exactly(descriptor, size))
    return spec


def _read_exactly(descriptor: int, size: int) -> bytes:
    received = b""
    while len(received) < size:
        data = os.read(descriptor, size - len(received))
        if not data:
            raise EOFError("the supervisor is gone")
        received += data
    return received


def _wait_for_leave_order(reactor: Any, service: Any) -> None:
    """Block until the supervisor orders this worker to leave, or ends for any reason."""
    line = b""
    while not line.endswith(b"\n"):
        data = os.read(COMMANDS_FD, 1)
        if not data:
            break
        line += data
    words = line.split()
    successor = words[1].decode() if len(words) > 1 and words[0] == LEAVE else None
    reactor.callFromThread(service.leave, successor)
