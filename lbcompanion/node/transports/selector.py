"""A selector for asyncio's loop with a shorter way to register and unregister descriptors.

Each connection is registered once and unregistered once. Python's own selectors take a dozen calls for that, and build
the text of an exception that asyncio ignores.

If there are bytes to read, the selector calls the function in :attr:`DescriptorSelector.readers` itself. asyncio would
queue a handle for each event, and run it in a context afterwards.
"""

from __future__ import annotations

import asyncio
import select
import selectors
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from lbcompanion.node.transports.socket_io import SOCKET_IO, milliseconds_of

_READ = selectors.EVENT_READ
_WRITE = selectors.EVENT_WRITE


class NodeEventLoop(asyncio.SelectorEventLoop):
    """asyncio's loop with the selector of this module.

    :ivar direct_readers: :attr:`DescriptorSelector.readers`.
    """

    def __init__(self) -> None:
        selector = DescriptorSelector()
        super().__init__(selector)
        self.direct_readers = selector.readers
        selector.on_error = self._on_reader_error

    def _on_reader_error(self, error: BaseException) -> None:
        self.call_exception_handler({"message": "a reader of a descriptor failed", "exception": error})


def new_event_loop() -> asyncio.AbstractEventLoop:
    """An asyncio loop for the node; on a system without epoll(7), asyncio's default."""
    if not hasattr(select, "epoll"):
        return asyncio.new_event_loop()
    return NodeEventLoop()


class _Keys(dict[Any, selectors.SelectorKey]):
    """The keys by descriptor; those of other file objects are looked up by their ``fileno()``."""

    def __missing__(self, fileobj: Any) -> selectors.SelectorKey:
        if isinstance(fileobj, int):
            raise KeyError(fileobj)
        return self[self.descriptor_of(fileobj)]

    def get(self, fileobj: Any, default: Any = None) -> Any:
        """The key, as asyncio of Python 3.13 looks it up."""
        try:
            return self[fileobj]
        except KeyError:
            return default

    def descriptor_of(self, fileobj: Any) -> int:
        """The descriptor of a file object, also after it was closed.

        :raises ValueError: if it is closed and not registered.
        """
        if isinstance(fileobj, int):
            return fileobj
        descriptor: int = fileobj.fileno()
        if descriptor >= 0:
            return descriptor
        for key in self.values():
            if key.fileobj is fileobj:
                return key.fd
        raise ValueError(f"a closed file that is not registered: {fileobj!r}")


class DescriptorSelector(selectors.BaseSelector):
    """epoll(7), in the first place for descriptors.

    :ivar readers: by descriptor, what :meth:`select` calls itself if there is something to read and nothing else to
        report. The descriptor is registered besides. A reader must not close the descriptor of another one.
    :ivar on_error: called with the exception of a reader.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._wait = SOCKET_IO.waiter(self._epoll)
        self.readers: dict[int, Callable[[], None]] = {}
        self.on_error: Callable[[BaseException], None] = _raise
        self._keys = _Keys()
        #: The key of a descriptor or a file object; raises KeyError if it is not registered.
        self.get_key = self._keys.__getitem__  # type: ignore[assignment, method-assign]

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Register a descriptor for the events."""
        descriptor = fileobj if type(fileobj) is int else self._keys.descriptor_of(fileobj)
        if descriptor in self._keys:
            raise KeyError(f"descriptor {descriptor} is registered already")
        self._epoll.register(descriptor, _to_epoll(events))
        key = self._keys[descriptor] = selectors.SelectorKey(fileobj, descriptor, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Unregister a descriptor, which may be closed already."""
        descriptor = fileobj if type(fileobj) is int else self._keys.descriptor_of(fileobj)
        key = self._keys.pop(descriptor)
        # A closed descriptor is unregistered already.
        with suppress(OSError):
            self._epoll.unregister(descriptor)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Replace the events and the data of a descriptor."""
        descriptor = fileobj if type(fileobj) is int else self._keys.descriptor_of(fileobj)
        old = self._keys[descriptor]
        if events != old.events:
            try:
                self._epoll.modify(descriptor, _to_epoll(events))
            except BaseException:
                self.unregister(descriptor)
                raise
        key = self._keys[descriptor] = selectors.SelectorKey(old.fileobj, descriptor, events, data)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events.

        :param timeout: in seconds; None waits without a limit.
        """
        others = self._wait(milliseconds_of(timeout), self.readers, self.on_error)
        if not others:
            return []
        # After all readers: a reader may have replaced a key, and asyncio would remove the new one for the old.
        keys = self._keys
        ready = []
        for descriptor, event in others:
            key = keys.get(descriptor)
            if key is not None:
                # An error or a hang-up counts as both.
                events = _READ if event == select.EPOLLIN else _from_epoll(event)
                ready.append((key, events & key.events))
        return ready

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """The keys by descriptor."""
        return self._keys

    def close(self) -> None:
        """Close the descriptor of epoll."""
        self._epoll.close()
        self._keys.clear()


def _raise(error: BaseException) -> None:
    raise error


def _to_epoll(events: int) -> int:
    if events == _READ:
        return select.EPOLLIN
    return (select.EPOLLIN if events & _READ else 0) | (select.EPOLLOUT if events & _WRITE else 0)


def _from_epoll(event: int) -> int:
    return (_WRITE if event & ~select.EPOLLIN else 0) | (_READ if event & ~select.EPOLLOUT else 0)
