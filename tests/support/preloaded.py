"""Starts processes of ``lbcompanion``, and the crawlers of ``tests/support/queue_crawler.py``, as copies of one process
that has already imported the package.

A command takes about a second of CPU to start, nearly all of it for imports, and a farm is four commands. The tests of
the commands themselves, of workers, twistd and the demo start interpreters as users do.

``python -P -m tests.support.preloaded FD`` imports what the commands need, and then takes orders on a socket.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from lbcompanion.demo.processes import companion_command

_ROOT = Path(__file__).resolve().parents[2]
_PREFIX = companion_command()
_MESSAGE_BYTES = 1_000_000
_READ_AT_START = ("PYTHON", "LD_")
#: Modules of the tests that are started in the same way, as ``python -m`` starts them.
_MODULES = ("tests.support.queue_crawler",)
#: What the commands import, except the reactors, which exist once in each process.
_PRELOADED = (
    "encodings.idna",
    "importlib.resources.readers",
    "lbcompanion.crawler.service",
    "lbcompanion.node.processes.supervisor",
    "lbcompanion.node.service",
    "lbcompanion.run.foreground",
    "sqlalchemy.dialects.sqlite",
    "twisted.internet.asyncioreactor",
    "twisted.internet.epollreactor",
)


class PreloadedProcess:
    """A running command, with those methods of :class:`subprocess.Popen` that tests use.

    :param arguments: of ``lbcompanion``.
    :param log: a descriptor that gets its output.
    """

    def __init__(self, arguments: Sequence[str], log: int, environment: Mapping[str, str], folder: Path) -> None:
        self._parent = _parent()
        order = {"arguments": list(arguments), "environment": dict(environment), "folder": str(folder)}
        self.pid: int = self._parent.ask(order, log)
        # Its parent reads its exit code only on request. Until then no other process can get its number.
        self._descriptor = os.pidfd_open(self.pid)
        self._code: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        return self._ended(0)

    def wait(self, timeout: float) -> int:
        """Wait for its end.

        :raises subprocess.TimeoutExpired: if it goes on.
        """
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(_PREFIX, timeout)
        return code

    def send_signal(self, how: int) -> None:
        """Send a signal."""
        with self._lock:
            if self._code is None:
                signal.pidfd_send_signal(self._descriptor, how)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, seconds: float) -> int | None:
        if self._code is None and _readable(self._descriptor, seconds):
            with self._lock:
                if self._code is None:
                    self._code = self._parent.ask({"ended": self.pid})
                    os.close(self._descriptor)
        return self._code


def _readable(descriptor: int, seconds: float) -> bool:
    # poll(2), because a test may have more descriptors open than select(2) knows.
    polling = select.poll()
    polling.register(descriptor, select.POLLIN)
    return bool(polling.poll(1000 * seconds))


def arguments_of(command: Sequence[str], environment: Mapping[str, str]) -> Sequence[str] | None:
    """The arguments of a command of ``lbcompanion``, or ``-m``, one of some modules, and its arguments.

    None for a command that has to start as a new interpreter. A copy gets its environment too late for variables that
    the interpreter or the loader reads at its start.
    """
    if any(name.startswith(_READ_AT_START) for name in environment):
        return None
    if list(command[: len(_PREFIX)]) == _PREFIX:
        return command[len(_PREFIX) :]
    if list(command[:2]) == [sys.executable, "-m"] and command[2] in _MODULES:
        return command[1:]
    return None


class Parent:
    """The process that has imported the package.

    :param program: the options of the interpreter that name its program.
    """

    def __init__(self, program: Sequence[str] = ("-m", "tests.support.preloaded")) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-P", *program, str(theirs.fileno())]
        environment = {**os.environ, "PYTHONPATH": str(_ROOT), "PYTHONUNBUFFERED": "1"}
        self._process = subprocess.Popen(command, cwd=_ROOT, env=environment, pass_fds=[theirs.fileno()])
        theirs.close()
        self._lock = threading.Lock()
        atexit.register(self.end)

    def ask(self, order: Mapping[str, Any], *descriptors: int) -> int:
        """Send an order and return its result: the id of a new process, or the exit code of one that ended."""
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(order).encode()], descriptors)
            return int(self._socket.recv(100))

    def end(self) -> None:
        """End it."""
        self._socket.close()
        self._process.wait()


@cache
def _made() -> Parent:
    return Parent()


_making = threading.Lock()


def _parent() -> Parent:
    with _making:
        return _made()


def take_orders(orders: socket.socket) -> Sequence[str]:
    """Start commands until nobody asks for more.

    :returns: in a new process, the arguments of its command.
    """
    while True:
        message, descriptors, _, _ = socket.recv_fds(orders, _MESSAGE_BYTES, 1)
        if not message:
            os._exit(0)
        order = json.loads(message)
        if "ended" in order:
            _, status = os.waitpid(order["ended"], 0)
            orders.send(str(os.waitstatus_to_exitcode(status)).encode())
        elif pid := os.fork():
            os.close(descriptors[0])
            orders.send(str(pid).encode())
        else:
            orders.close()
            _become(order, descriptors[0])
            arguments: list[str] = order["arguments"]
            return arguments


def _become(order: Mapping[str, Any], log: int) -> None:
    """Make this process what :class:`subprocess.Popen` would have made: a session of its own, with its files."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(log)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["-c", *order["arguments"]]


def _main() -> int:
    import twisted.plugin

    import twisted.plugins
    from lbcompanion.cli import main

    for name in _PRELOADED:
        import_module(name)
    # The search for plugins imports the interfaces of all of Twisted's plugins.
    twisted.plugin.getCache(twisted.plugins)
    assert "twisted.internet.reactor" not in sys.modules
    gc.collect()
    gc.freeze()
    arguments = list(take_orders(socket.socket(fileno=int(sys.argv[1]))))
    if arguments[:1] == ["-m"]:
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        main(arguments, prog_name="lbcompanion")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
