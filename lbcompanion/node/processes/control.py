"""The control socket: how another process of the same user takes a node's ports over, or has it stop.

``state_dir/NODE.control``, mode 0600. A client sends a line of JSON, the node answers with one:

``{"do": "sockets"}``
    ``{"group": ..., "count": N}`` and with it the listening sockets themselves (SCM_RIGHTS, unix(7)).
``{"do": "leave", "to": GROUP}``
    The processes of that group serve now: take no more connections, finish what runs, give them the copies, end.
``{"do": "drain"}``
    Stop in good order; a last line tells what became of the copies.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.basic import LineOnlyReceiver

from lbcompanion.errors import CompanionError
from lbcompanion.node.processes.siblings import JsonObject, SocketFolder
from lbcompanion.node.transports.listening import Listener, adopt

#: How long one process waits for the other's word.
PATIENCE_SECONDS = 10.0
#: SCM_MAX_FD is 253.
_MOST_SOCKETS = 250


class ControlError(CompanionError):
    """The running node cannot be asked, or does not answer."""


class ControlSocket:
    """The node's end.

    :param group: this process's, for its siblings.
    :param sockets: gives the listening sockets, those of visitors and the admin's.
    :param leave: ``leave(group)`` makes the process stop; the group that takes its place, None where none does.
    """

    def __init__(
        self,
        *,
        state_dir: Path,
        node: str,
        group: str,
        sockets: Callable[[], Sequence[socket.socket]],
        leave: Callable[[str | None], None],
        reactor: Any,
    ) -> None:
        self._folder = SocketFolder(state_dir)
        self._name = f"{node}.control"
        self.group = group
        self.sockets = sockets
        self.leave = leave
        self._reactor = reactor
        self._listener: Listener | None = None
        self._inode = 0
        self._waiting: list[_ControlProtocol] = []

    def listen(self, replace: bool) -> bool:
        """Listen from now on.

        :param replace: whether to take the place of another process that does.
        :returns: False where another process does, and is left to.
        :raises OSError: where no socket can be opened.
        """
        if not replace and self._is_answered():
            return False
        new_name = f"{self._name}.{os.getpid()}"
        self._folder.remove(new_name)
        listening = self._folder.listen(new_name)
        self._folder.rename(new_name, self._name)
        self._inode = self._folder.inode(self._name)
        self._listener = adopt(listening, _ControlFactory(self), self._reactor)
        return True

    def _is_answered(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
            probe.settimeout(1.0)
            probe.connect(self._folder.path(self._name))
            return True
        return False

    def add_waiting(self, client: _ControlProtocol) -> None:
        """Somebody waits for the end."""
        self._waiting.append(client)

    def send_outcome(self, message: JsonObject) -> None:
        """Tell those who wait how it ended."""
        for client in self._waiting:
            client.send(message)

    async def close(self) -> None:
        """Listen no more. A successor's socket of the same name stays."""
        if self._listener is not None:
            await maybeDeferred(self._listener.close, True)
            if self._folder.inode(self._name) == self._inode:
                self._folder.remove(self._name)
        self._folder.close()


class _ControlProtocol(LineOnlyReceiver):
    delimiter = b"\n"

    def __init__(self, control: ControlSocket) -> None:
        self._control = control

    def lineReceived(self, line: bytes) -> None:
        try:
            request = json.loads(line)
            self._execute(request["do"], request.get("to"))
        except (ValueError, KeyError, TypeError, AttributeError):
            self.send({"error": "not understood"})

    def _execute(self, verb: str, group: str | None) -> None:
        if verb == "sockets":
            self._send_sockets()
        elif verb == "leave" and isinstance(group, str):
            self.send({"leaving": True})
            self._control.leave(group)
        elif verb == "drain":
            self._control.add_waiting(self)
            self.send({"leaving": True})
            self._control.leave(None)
        else:
            raise ValueError(verb)

    def send(self, message: JsonObject) -> None:
        self.sendLine(json.dumps(message).encode())  # type: ignore[no-untyped-call]

    def _send_sockets(self) -> None:
        sockets = list(self._control.sockets())[:_MOST_SOCKETS]
        line = json.dumps({"group": self._control.group, "count": len(sockets)}).encode() + b"\n"
        # Nothing was written on this connection before, so this goes out at once and whole.
        transport: Any = self.transport
        socket.send_fds(transport.getHandle(), [line], [sock.fileno() for sock in sockets])


class _ControlFactory(Factory):
    noisy = False

    def __init__(self, control: ControlSocket) -> None:
        self._control = control

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return _ControlProtocol(self._control)


class RunningNode:
    """The other end: a node that runs already. Blocking, for use before a reactor runs, and for short words after.

    :raises ControlError: where it cannot be reached or gives no answer.
    """

    def __init__(self, state_dir: Path, node: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE_SECONDS)
        self._buffer = b""
        try:
            folder = SocketFolder(state_dir)
            try:
                self._socket.connect(folder.path(f"{node}.control"))
            finally:
                folder.close()
        except OSError as error:
            self._socket.close()
            raise ControlError(f"no node {node} runs with {state_dir}: {error.strerror or error}") from None

    def sockets(self) -> list[socket.socket]:
        """Its listening sockets, as descriptors of this process's own.

        :raises ControlError: where they do not come.
        """
        try:
            self._socket.sendall(b'{"do": "sockets"}\n')
            data, descriptors, _, _ = socket.recv_fds(self._socket, 65536, _MOST_SOCKETS)
        except OSError as error:
            raise ControlError(f"the running node did not hand over its sockets: {error}") from None
        if not data:
            raise ControlError("the running node did not hand over its sockets")
        return [socket.socket(fileno=descriptor) for descriptor in descriptors]

    def hand_over_to(self, group: str) -> None:
        """Tell it that the processes of that group serve now.

        :raises ControlError: where it does not hear.
        """
        self._send({"do": "leave", "to": group})
        self.read()

    def drain(self) -> None:
        """Have it stop in good order; :meth:`read` tells of it.

        :raises ControlError: where it does not hear.
        """
        self._send({"do": "drain"})

    def read(self, patience_seconds: float = PATIENCE_SECONDS) -> JsonObject | None:
        """What it says next; None once it is gone.

        :raises ControlError: where nothing comes in that time.
        """
        self._socket.settimeout(patience_seconds)
        try:
            while b"\n" not in self._buffer:
                data = self._socket.recv(65536)
                if not data:
                    return None
                self._buffer += data
        except OSError as error:
            raise ControlError(f"the running node says nothing: {error}") from None
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: JsonObject = json.loads(line)
        return message

    def close(self) -> None:
        """Let it be."""
        self._socket.close()

    def _send(self, message: JsonObject) -> None:
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise ControlError(f"the running node does not listen: {error}") from None
