"""The other processes of this node: workers beside this one, and an older one that is about to leave.

Each process listens on a unix socket in ``state_dir/siblings/NODE``, readable by its own user alone, and asks all the
others there. Tokens do not tell which process has a copy, so all are asked at once; a process that comes or goes needs
nobody's leave. A request and its answer are a :class:`~lbcompanion.protocol.copies.Frame` each.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

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
from lbcompanion.protocol.copies import Frame

#: How long one process waits for another.
PATIENCE_SECONDS = 5.0
_BACKLOG = 128
_HEAD_BYTES = 65536

JsonObject = dict[str, Any]


class SocketFolder:
    """A folder of unix sockets, each named shortly: a socket's path may have 107 bytes, a folder's any.

    :raises OSError: where it cannot be made or opened.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def path(self, name: str) -> str:
        """How a socket in here is named in this process, while this object is open."""
        return f"/proc/self/fd/{self._descriptor}/{name}"

    def names(self) -> list[str]:
        """The sockets there are."""
        return sorted(name for name in os.listdir(self._descriptor) if name.endswith(".sock"))

    def remove(self, name: str) -> None:
        """Take one away, if it is still there."""
        with suppress(OSError):
            os.unlink(name, dir_fd=self._descriptor)

    def rename(self, old: str, new: str) -> None:
        """Let one take the place of another, in one step."""
        os.rename(old, new, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def inode(self, name: str) -> int:
        """The file's number, 0 where there is none."""
        try:
            return os.stat(name, dir_fd=self._descriptor).st_ino
        except OSError:
            return 0

    def listen(self, name: str) -> socket.socket:
        """A listening socket that this user alone may connect to."""
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
        """Let go of the folder."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class _ServerProtocol(Int32StringReceiver):
    """The answering end."""

    def __init__(self, answer: Callable[[Frame], Awaitable[Frame]], max_bytes: int) -> None:
        self.MAX_LENGTH = max_bytes
        self._answer = answer

    def stringReceived(self, string: bytes) -> None:
        """Answer."""
        Deferred.fromCoroutine(self._respond(string)).addErrback(self._failed)

    async def _respond(self, data: bytes) -> None:
        answer = await self._answer(Frame.read(data))
        self.sendString(answer.written())  # type: ignore[no-untyped-call]

    def _failed(self, failure: Failure) -> None:
        # Who asks takes a closed connection for no answer.
        if self.transport is not None:
            self.transport.loseConnection()


class _ClientProtocol(Int32StringReceiver):
    """The asking end of one question.

    :ivar response: fires with the answer; fails with ``StoreError`` where none comes.
    """

    def __init__(self, request: bytes, max_bytes: int) -> None:
        self.MAX_LENGTH = max_bytes
        self._request = request
        self.response: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        """Ask."""
        self.sendString(self._request)  # type: ignore[no-untyped-call]

    def stringReceived(self, string: bytes) -> None:
        """The answer."""
        if not self.response.called:
            self.response.callback(string)
        if self.transport is not None:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """No answer came, unless it did before."""
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


class Siblings:
    """The sockets of a node's processes; this process's own among them once it listens.

    :param group: names those processes that come and go together: one supervisor's workers, or one process alone.
    :param max_body_bytes: the largest page that may be handed over.
    :raises OSError: where the folder cannot be used.
    """

    def __init__(self, *, state_dir: Path, node: str, group: str, reactor: Any, max_body_bytes: int) -> None:
        self._folder = SocketFolder(state_dir / "siblings" / node)
        self.group = group
        self._reactor = reactor
        self._max_bytes = max_body_bytes + _HEAD_BYTES
        self._own_name = ""
        self._listener: Listener | None = None

    def listen(self, answer: Callable[[Frame], Awaitable[Frame]]) -> None:
        """Answer the others from now on.

        :raises OSError: where no socket can be opened.
        """
        self._own_name = f"{self.group}-{os.getpid()}-{os.urandom(4).hex()}.sock"
        self._listener = adopt(
            self._folder.listen(self._own_name), _ServerFactory(answer, self._max_bytes), self._reactor
        )

    def names(self, *, of_group: bool | None = None) -> list[str]:
        """The other processes' sockets.

        :param of_group: True: of this group only; False: of all others; None: all.
        """
        start = f"{self.group}-"
        return [
            name
            for name in self._folder.names()
            if name != self._own_name and (of_group is None or name.startswith(start) is of_group)
        ]

    async def ask(self, name: str, request: Frame) -> Frame:
        """Ask one of them.

        :raises StoreError: where it gives no answer in time.
        """
        inode = self._folder.inode(name)
        client = _ClientProtocol(request.written(), self._max_bytes)
        endpoint = UNIXClientEndpoint(self._reactor, self._folder.path(name), timeout=PATIENCE_SECONDS)
        try:
            await endpoint.connect(_OneShotFactory(client))
            data = await client.response.addTimeout(PATIENCE_SECONDS, self._reactor)
            return Frame.read(data)
        except ConnectionRefusedError:
            # It died without a word: nobody need ask it again.
            if self._folder.inode(name) == inode:
                self._folder.remove(name)
            raise StoreError("a sibling is gone") from None
        except (ConnectError, TimeoutError, ValueError) as error:
            raise StoreError(f"a sibling gave no answer: {type(error).__name__}") from None

    async def ask_all(self, request: Frame, *, of_group: bool | None = None) -> dict[str, Frame]:
        """Ask all others at once; by their names, the answers of those that gave one."""
        names = self.names(of_group=of_group)
        requests = [Deferred.fromCoroutine(self.ask(name, request)) for name in names]
        results = await DeferredList(requests, consumeErrors=True)
        return {
            name: answer
            for name, (succeeded, answer) in zip(names, results, strict=True)
            if succeeded and isinstance(answer, Frame)
        }

    def broadcast(self, message: JsonObject) -> None:
        """Tell all others something; what they answer does not matter."""
        Deferred.fromCoroutine(self.ask_all(Frame(message))).addErrback(lambda _: None)

    async def close(self) -> None:
        """Answer no more."""
        if self._listener is not None:
            await maybeDeferred(self._listener.close, True)
            self._folder.remove(self._own_name)
        self._folder.close()
