"""Requests between the processes of one node: its workers, and an older process that is draining.

Each process listens on a unix socket in ``state_dir/siblings/NODE``, accessible by its own user only, and sends its
requests to the others there. A token does not name the process that has its copy, so all are asked at once; processes
join and leave without registering. A request and its answer are a :class:`~lbcompanion.protocol.copies.Frame` each.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredList, TimeoutError, maybeDeferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectError, ConnectionRefusedError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure

from lbcompanion.errors import StoreError
from lbcompanion.node.transports.listening import Listener, adopt
from lbcompanion.node.transports.sockets import bind_path
from lbcompanion.protocol.copies import HEAD_BYTES, Frame

#: The timeout for connecting to another process and for its response.
PATIENCE_SECONDS = 5.0
_BACKLOG = 128

JsonObject = dict[str, Any]


class SocketFolder:
    """A folder of unix sockets that are addressed by short paths: a socket's path is limited to 107 bytes.

    :raises OSError: if the folder cannot be created or opened.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def path(self, name: str) -> str:
        """The short path of a socket in this folder, valid in this process while the object is open."""
        return f"/proc/self/fd/{self._descriptor}/{name}"

    def names(self) -> list[str]:
        """The names of the sockets."""
        return sorted(name for name in os.listdir(self._descriptor) if name.endswith(".sock"))

    def remove(self, name: str) -> None:
        """Remove a socket if it exists."""
        with suppress(OSError):
            os.unlink(name, dir_fd=self._descriptor)

    def rename(self, old: str, new: str) -> None:
        """Rename a socket, atomically replacing another."""
        os.rename(old, new, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def inode(self, name: str) -> int:
        """The inode number; 0 if there is no such file."""
        try:
            return os.stat(name, dir_fd=self._descriptor).st_ino
        except OSError:
            return 0

    def listen(self, name: str) -> socket.socket:
        """Open a listening socket that only this user may connect to."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            bind_path(sock, self.path(name), 0o600)
            sock.listen(_BACKLOG)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
        return sock

    def close(self) -> None:
        """Close the folder."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class _ServerProtocol(Int32StringReceiver):
    """The server end of a connection."""

    def __init__(self, answer: Callable[[Frame], Awaitable[Frame]], max_bytes: int) -> None:
        self.MAX_LENGTH = max_bytes
        self._answer = answer

    def stringReceived(self, string: bytes) -> None:
        """Answer the request."""
        Deferred.fromCoroutine(self._respond(string)).addErrback(self._failed)

    async def _respond(self, data: bytes) -> None:
        answer = await self._answer(Frame.read(data))
        self.sendString(answer.written())  # type: ignore[no-untyped-call]

    def _failed(self, failure: Failure) -> None:
        # The client treats a close without a response as an error.
        if self.transport is not None:
            self.transport.loseConnection()


class _ClientProtocol(Int32StringReceiver):
    """The client end of one request.

    :ivar response: fires with the response, or fails with ``StoreError``.
    """

    def __init__(self, request: bytes, max_bytes: int) -> None:
        self.MAX_LENGTH = max_bytes
        self._request = request
        self.response: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        """Send the request."""
        self.sendString(self._request)  # type: ignore[no-untyped-call]

    def stringReceived(self, string: bytes) -> None:
        """Receive the response."""
        if not self.response.called:
            self.response.callback(string)
        if self.transport is not None:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail unless the response was received."""
        if not self.response.called:
            self.response.errback(StoreError("a sibling did not answer"))


class _ServerFactory(Factory):
    noisy = False

    def __init__(self, answer: Callable[[Frame], Awaitable[Frame]], max_bytes: int) -> None:
        self._answer = answer
        self._max_bytes = max_bytes

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return _ServerProtocol(self._answer, self._max_bytes)


class _OneShotFactory(Factory):
    noisy = False

    def __init__(self, client: _ClientProtocol) -> None:
        self._client = client

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return self._client


@frozen
class SiblingAnswers:
    """The result of a request to all other processes.

    :ivar answers: the responses, by socket name.
    :ivar silent: the socket names of processes that run and gave no response in time: they are busy, or hang.
    """

    answers: dict[str, Frame]
    silent: list[str]


class Siblings:
    """The other processes of this node, by their sockets.

    :param group: the name of the processes that start and stop together: a supervisor's workers, or a single process.
    :param max_body_bytes: the largest page that may be transferred.
    :raises OSError: if the folder cannot be used.
    """

    def __init__(self, *, state_dir: Path, node: str, group: str, reactor: Any, max_body_bytes: int) -> None:
        self._folder = SocketFolder(state_dir / "siblings" / node)
        self.group = group
        self._reactor = reactor
        self._max_bytes = max_body_bytes + HEAD_BYTES
        self._own_name = ""
        self._listener: Listener | None = None

    def listen(self, answer: Callable[[Frame], Awaitable[Frame]]) -> None:
        """Start answering requests.

        :raises OSError: if the socket cannot be opened.
        """
        self._own_name = f"{self.group}-{os.getpid()}-{os.urandom(4).hex()}.sock"
        self._listener = adopt(
            self._folder.listen(self._own_name), _ServerFactory(answer, self._max_bytes), self._reactor
        )

    @property
    def is_listening(self) -> bool:
        """Whether :meth:`listen` succeeded."""
        return self._listener is not None

    def names(self, *, of_group: bool | None = None) -> list[str]:
        """The names of the other processes' sockets.

        :param of_group: True for this group only, False for other groups only, None for all.
        """
        start = f"{self.group}-"
        return [
            name
            for name in self._folder.names()
            if name != self._own_name and (of_group is None or name.startswith(start) is of_group)
        ]

    async def ask(self, name: str, request: Frame) -> Frame:
        """Send a request to one process.

        :raises StoreError: if it does not answer in time.
        """
        inode = self._folder.inode(name)
        client = _ClientProtocol(request.written(), self._max_bytes)
        endpoint = UNIXClientEndpoint(self._reactor, self._folder.path(name), timeout=PATIENCE_SECONDS)
        try:
            await endpoint.connect(_OneShotFactory(client))
            data = await client.response.addTimeout(PATIENCE_SECONDS, self._reactor)
            return Frame.read(data)
        except ConnectionRefusedError:
            # It crashed and left its socket file: remove it, so that it is not asked again.
            if self._folder.inode(name) == inode:
                self._folder.remove(name)
            raise StoreError("a sibling is gone") from None
        except (ConnectError, TimeoutError, ValueError) as error:
            raise StoreError(f"a sibling gave no answer: {type(error).__name__}") from None

    async def ask_all(self, request: Frame, *, of_group: bool | None = None) -> SiblingAnswers:
        """Send a request to all others in parallel."""
        names = self.names(of_group=of_group)
        requests = [Deferred.fromCoroutine(self.ask(name, request)) for name in names]
        results = await DeferredList(requests, consumeErrors=True)
        answers = {
            name: answer
            for name, (succeeded, answer) in zip(names, results, strict=True)
            if succeeded and isinstance(answer, Frame)
        }
        # The socket of a process that has stopped or crashed is removed.
        silent = [name for name in names if name not in answers and self._folder.inode(name)]
        return SiblingAnswers(answers, silent)

    def broadcast(self, message: JsonObject) -> None:
        """Send a message to all others; ignore their responses."""
        Deferred.fromCoroutine(self.ask_all(Frame(message))).addErrback(lambda _: None)

    async def close(self) -> None:
        """Stop listening and close the folder."""
        if self._listener is not None:
            await maybeDeferred(self._listener.close, shared=True)
            self._folder.remove(self._own_name)
        self._folder.close()
