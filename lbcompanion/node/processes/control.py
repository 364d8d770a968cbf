"""The control socket, over which another process of the same user takes over a node's ports or drains it.

``state_dir/NODE.control``, mode 0600. A client sends a line of JSON, the node answers with a line of JSON:

``{"do": "sockets"}``
    ``{"group": ..., "count": N}`` and with it the listening sockets themselves (SCM_RIGHTS, unix(7)).
``{"do": "leave", "to": GROUP}``
    The processes of that group serve now: stop accepting, finish running requests, give them the copies, exit.
``{"do": "drain"}``
    Drain and exit; a last line has the outcome of the copies.
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

#: How long to wait for a line of the other process.
PATIENCE_SECONDS = 10.0
#: SCM_MAX_FD is 253.
_MOST_SOCKETS = 250


class ControlError(CompanionError):
    """The running node cannot be reached or does not answer."""


class ControlSocket:
    """The server end, in the node.

    :param group: the group name of this process.
    :param sockets: returns the listening sockets, of the visitors' and of the admin listener.
    :param leave: ``leave(group)`` stops the process; ``group`` takes over, None if none does.
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

    def listen(self, *, replace: bool) -> bool:
        """Start listening.

        :param replace: whether to replace the socket of another process.
        :returns: False if another process is listening and is not replaced.
        :raises OSError: if the socket cannot be opened.
        """
        try:
            return self._listen(replace=replace)
        except OSError:
            self._folder.close()
            raise

    def _listen(self, *, replace: bool) -> bool:
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
        """Send this client the outcome at the end."""
        self._waiting.append(client)

    def send_outcome(self, message: JsonObject) -> None:
        """Send the outcome to all waiting clients."""
        for client in self._waiting:
            client.send(message)

    async def close(self) -> None:
        """Stop listening. A successor's socket of the same name stays."""
        if self._listener is not None:
            await maybeDeferred(self._listener.close, shared=True)
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
        # The first write on this connection: the socket buffer is empty, so the line is sent at once.
        transport: Any = self.transport
        socket.send_fds(transport.getHandle(), [line], [sock.fileno() for sock in sockets])


class _ControlFactory(Factory):
    noisy = False

    def __init__(self, control: ControlSocket) -> None:
        self._control = control

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return _ControlProtocol(self._control)


class RunningNode:
    """The client end, for a node that is already running. Blocking: for use without a reactor, or short messages.

    :raises ControlError: if the node cannot be reached or does not answer.
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
        """Receive duplicates of its listening sockets.

        :raises ControlError: if they are not received.
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
        """Stop the node in favour of the processes of this group.

        :raises ControlError: if the node does not answer.
        """
        self._send({"do": "leave", "to": group})
        self.read()

    def drain(self) -> None:
        """Drain the node; :meth:`read` then returns its messages.

        :raises ControlError: if the message cannot be sent.
        """
        self._send({"do": "drain"})

    def read(self, patience_seconds: float = PATIENCE_SECONDS) -> JsonObject | None:
        """Read the next message; None after the node closed the connection.

        :raises ControlError: if none is received in this time.
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
        """Close the connection."""
        self._socket.close()

    def _send(self, message: JsonObject) -> None:
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise ControlError(f"the running node does not listen: {error}") from None
