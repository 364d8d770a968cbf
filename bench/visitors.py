"""Visitors, on kept connections or on new ones, bounded in requests and in time; every answer is judged."""

from __future__ import annotations

import resource
import selectors
import socket
import ssl
import time
from collections.abc import Iterator
from itertools import count
from statistics import quantiles
from typing import Any

from bench.responses import CheckedResponse, WrongResponse
from bench.workload import CASES, Case, request_for

_READ_BYTES = 262144
#: What a slow reader takes at once, and how long it then waits.
_SIP_BYTES = 4096
_SIP_SECONDS = 0.1
#: All peers are to use the same version and cipher suite. With TLS 1.3, OpenSSL's defaults choose this suite.
_TLS = ("TLSv1.3", "TLS_AES_256_GCM_SHA384")


def _tls_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # The certificate is made for the run; only the cost for the peer is measured.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Visitor:
    """One connection at a time, one request at a time.

    :param numbers: of requests; shared by all visitors, so that no two are alike.
    """

    _context = _tls_context()

    def __init__(self, port: int, case: Case, numbers: Iterator[int]) -> None:
        self._port = port
        self._case = case
        self._numbers = numbers
        self.requested_at = 0
        self.connect()

    def connect(self) -> None:
        """Open a connection.

        :raises Wrong: if it has another TLS version or cipher suite than those of the other peers.
        """
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connection
        if self._case.tls:
            secured = self.socket = self._context.wrap_socket(connection)
            chosen = (secured.version(), (secured.cipher() or ("",))[0])
            if chosen != _TLS:
                raise WrongResponse(f"TLS with {chosen}")

    def expect_close(self) -> None:
        """After an answer on a connection that is not kept: wait until the peer closes it.

        :raises Wrong: if the peer sends more, or does not close it.
        """
        try:
            if self.socket.recv(1):
                raise WrongResponse("bytes after the answer")
        except TimeoutError:
            raise WrongResponse("the connection was not closed") from None
        self.socket.close()

    def send_request(self) -> None:
        """Send the next request."""
        number = next(self._numbers)
        self.answer = CheckedResponse(self._case, number)
        wanted = request_for(self._case, number)
        self.requested_at = time.perf_counter_ns()
        self.socket.sendall(wanted)

    def read(self, size: int = _READ_BYTES) -> bool:
        """Take in what is there.

        :returns: whether the answer is whole now.
        :raises Wrong: where it is not as it must be.
        """
        while True:
            data = self.socket.recv(size)
            if not data:
                raise WrongResponse("the connection was closed")
            self.answer.feed(data)
            # What TLS has decrypted already is not seen by a selector.
            if self.answer.whole or not isinstance(self.socket, ssl.SSLSocket) or not self.socket.pending():
                return self.answer.whole

    def wait(self) -> int:
        """Ask, read all of the answer; the nanoseconds from the one to the other."""
        self.send_request()
        while not self.read():
            pass
        return time.perf_counter_ns() - self.requested_at


class Visitors:
    """Sends load to a port. Requests are numbered consecutively."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._held: list[Visitor] = []

    def load(
        self, port: int, case: str, tagged: bool, requests: int, connections: int, seconds: float, sample: int = 0
    ) -> dict[str, Any]:
        """A closed loop: each visitor asks again as soon as it has its answer.

        :param tagged: every page must have a tag, each with a token of its own.
        :param seconds: when to give up.
        :param sample: return this number of tokens as well, at even distances.
        :raises Wrong: for the first answer that is not right, and where time is over.
        """
        wanted = CASES[case]
        visitors = [Visitor(port, wanted, self._numbers) for _ in range(min(connections, requests))]
        selector = selectors.DefaultSelector()
        tokens: set[str] = set()
        sampled: list[str] = []
        token = ""
        done, left = 0, requests - len(visitors)
        begun = time.perf_counter()
        for visitor in visitors:
            selector.register(visitor.socket, selectors.EVENT_READ, visitor)
            visitor.send_request()
        while done < requests:
            if time.perf_counter() - begun > seconds:
                raise WrongResponse(f"only {done} of {requests} answers in time")
            for key, _ in selector.select(1):
                visitor = key.data
                if not visitor.read():
                    continue
                done += 1
                token = visitor.answer.check(tagged)
                tokens.add(token)
                if len(sampled) * requests < done * sample:
                    sampled.append(token)
                if not wanted.kept:
                    selector.unregister(visitor.socket)
                    visitor.expect_close()
                if left:
                    left -= 1
                    if not wanted.kept:
                        visitor.connect()
                        selector.register(visitor.socket, selectors.EVENT_READ, visitor)
                    visitor.send_request()
        took = time.perf_counter() - begun
        for visitor in visitors:
            visitor.socket.close()
        if tagged and len(tokens) != requests:
            raise WrongResponse("a token was given twice")
        return {"per_second": requests / took, "last_token": token, "tokens": sampled}

    def hold(self, port: int, case: str, tagged: bool, connections: int) -> dict[str, Any]:
        """Open further connections, get one page on each, and keep them open; see :meth:`release`.

        :returns: how many are open now.
        :raises Wrong: for the first answer that is not right.
        """
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        for _ in range(connections):
            visitor = Visitor(port, CASES[case], self._numbers)
            self._held.append(visitor)
            visitor.wait()
            visitor.answer.check(tagged)
        return {"open": len(self._held)}

    def release(self) -> dict[str, Any]:
        """Close the connections that are held.

        :returns: how many of them the peer had closed before.
        """
        closed = 0
        for visitor in self._held:
            visitor.socket.setblocking(False)
            try:
                closed += not visitor.socket.recv(1)
            except (BlockingIOError, ssl.SSLWantReadError):
                pass
            except OSError:
                closed += 1
            visitor.socket.close()
        self._held.clear()
        return {"closed": closed}

    def waits(self, port: int, direct: int, case: str, tagged: bool, requests: int) -> dict[str, float]:
        """Measure response times of one visitor, who requests from the peer and directly from the application in turn.

        :param direct: the application's own port.
        :returns: medians and 99th percentiles, in microseconds.
        :raises Wrong: for the first answer that is not right.
        """
        through, beside = (Visitor(one, CASES[case], self._numbers) for one in (port, direct))
        waits: list[int] = []
        direct_waits: list[int] = []
        for _ in range(requests):
            direct_waits.append(beside.wait())
            beside.answer.check(False)
            waits.append(through.wait())
            through.answer.check(tagged)
        through.socket.close()
        beside.socket.close()
        result = {}
        for name, values in (("", waits), ("direct_", direct_waits)):
            hundredths = quantiles(values, n=100)
            result[f"{name}p50_us"] = hundredths[49] / 1000
            result[f"{name}p99_us"] = hundredths[98] / 1000
        return result

    def sip(self, port: int, case: str, readers: int, seconds: float) -> dict[str, Any]:
        """Slow readers: each takes a little, then waits; after some seconds all leave.

        :returns: the bytes that they had, all right as far as they go.
        :raises Wrong: for the first that are not right.
        """
        visitors = [Visitor(port, CASES[case], self._numbers) for _ in range(readers)]
        for visitor in visitors:
            visitor.send_request()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for visitor in visitors:
                visitor.read(_SIP_BYTES)
            time.sleep(_SIP_SECONDS)
        for visitor in visitors:
            visitor.socket.close()
        return {"bytes": sum(visitor.answer.size for visitor in visitors)}
