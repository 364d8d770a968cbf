"""One visitor connection: parses request heads, runs one exchange at a time, keeps deadlines. No I/O.

============  ====================================  ==================================================================
state         attributes                            left by
============  ====================================  ==================================================================
rejected      not ``_registered``, ``_lingering``   as *lingering*; the connection came over a connection limit
idle          ``_accepts_requests``, no             a byte of a head: *reading head*; ``idle_seconds``: *closing*
              ``_exchange``, not
              ``_awaiting_head``
reading head  ``_accepts_requests``, no             the complete head: *reading body* or *responding*; a bad head or
              ``_exchange``, ``_awaiting_head``     ``head_seconds``: refused, *lingering* (*closing* without a byte)
reading body  ``_exchange``, ``_body``              the end of the body: *responding*; a bad or too slow body:
                                                    refused, *lingering*, or aborted if the response has started
responding    ``_exchange``, no ``_body``, not      ``end_exchange``: *idle*, the next pipelined head, *lingering*
              ``_tunnel``                           or *closing*; ``abort_response``: *closing*; a 101: *tunnel*
tunnel        ``_exchange``, ``_tunnel``            ``end_exchange``: *closing*
lingering     not ``_accepts_requests``,            ``_LINGER_SECONDS``: *closing*; until then input is discarded
              ``_lingering``
closing       not ``_accepts_requests``, not        the queue is sent; ``_CLOSING_SECONDS``, unless the visitor still
              ``_lingering``                        reads
closed        not ``_registered``                   nothing: the transport called ``connection_lost``
============  ====================================  ==================================================================

Independent of these: ``write_paused``: the queue towards the visitor is full, and no further exchange is started;
``_paused``: reading is paused (by the exchange, or because more than ``_MAX_BUFFERED_BYTES`` are in ``_buffer``);
``_eof_at``: the visitor closed its write side while *responding* and still gets a prompt response. ``connection_lost``
and ``stalled_seconds`` end every state.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lbcompanion.errors import BadRequest
from lbcompanion.http1.field_lines import HAS_FRAMING
from lbcompanion.http1.fields import keeps_alive
from lbcompanion.http1.framing import NO_BODY, BodyReader, ChunkedReader, body_reader, request_framing
from lbcompanion.http1.heads import RequestHead, has_bare_lf, head_end, read_request_head, whole_request_head
from lbcompanion.node.proxy.answers import write_refusal
from lbcompanion.node.proxy.client_info import scheme_of
from lbcompanion.node.proxy.context import ProxyContext
from lbcompanion.node.proxy.exchange import Exchange
from lbcompanion.node.proxy.interface import (
    ExchangeInterface,
    Transport,
    UsualExchangeInterface,
    VisitorSide,
    peer_host,
    reset,
)
from lbcompanion.node.proxy.internal import InternalExchange

# Pipelined requests buffered, in bytes; reading pauses beyond that.
_MAX_BUFFERED_BYTES = 65536
_WINDOW_SECONDS = 20.0
# After a half-close: how long the first byte of the response may take, and how long the response may pause.
_EOF_SECONDS = 1.0
_EOF_PAUSE_SECONDS = 5.0
# How long input is discarded so that a reset does not destroy the response (RFC 9112 section 9.6), and how long
# sending the queue may take.
_LINGER_SECONDS = 2.0
_CLOSING_SECONDS = 60.0
# Connections over the limit that may linger at a time.
_MAX_REJECTED = 100

_CR = 13
_EMPTY_LINES = re.compile(rb"\A(?:\r\n)+")


class VisitorConnection:
    """The handler of one visitor connection.

    It is registered in the context, which calls :meth:`tick`, until the transport reports that it is closed.
    """

    __slots__ = (
        "_accepts_requests",
        "_awaiting_head",
        "_body",
        "_body_window_bytes",
        "_body_window_start",
        "_buffer",
        "_context",
        "_deadline",
        "_eof_at",
        "_exchange",
        "_keep_alive",
        "_last_drained_at",
        "_lingering",
        "_paused",
        "_registered",
        "_request_count",
        "_scheme",
        "_starting_requests",
        "_tunnel",
        "_unsent_bytes",
        "_usual",
        "peer",
        "transport",
        "trusted",
        "write_paused",
    )

    transport: Transport

    def __init__(self, context: ProxyContext) -> None:
        self._context = context
        self._buffer = b""
        self._exchange: ExchangeInterface | None = None
        self._body: BodyReader | None = None
        self._keep_alive = True
        self._paused = False
        self._accepts_requests = False
        self._registered = False
        self._lingering = False
        self._tunnel = False
        self._awaiting_head = False
        self._deadline = 0.0
        self._eof_at = 0.0
        self._starting_requests = False
        self._body_window_start = 0.0
        self._body_window_bytes = 0
        self._unsent_bytes = 0
        self._last_drained_at = 0.0
        self._request_count = 0
        self._usual: UsualExchangeInterface | None = None
        self.write_paused = False
        self.peer = ""
        self.trusted = False

    # Called by the transport.

    def connection_made(self, transport: Transport) -> None:
        context = self._context
        self.transport = transport
        self.peer = peer_host(transport)
        self._scheme = "https" if transport.get_extra_info("ssl_object") else "http"
        context.counters.connections += 1
        from_same_address = context.per_address.get(self.peer, 0)
        limit = context.limits.connections_per_address
        if len(context.connections) >= context.limits.connections or (limit and from_same_address >= limit):
            context.counters.connections_refused += 1
            transport.write(write_refusal(503, "the companion takes no more connections now", context.date_line()))
            if len(context.rejected) < _MAX_REJECTED:
                context.rejected.add(self)
                self._linger()
            else:
                transport.close()
            return
        self._accepts_requests = self._registered = True
        context.connections.add(self)
        context.per_address[self.peer] = from_same_address + 1
        context.counters.connections_open += 1
        self.trusted = context.trusts(self.peer)
        if context.new_usual_exchange is not None:
            # All that matters about the connection: by the peer's address it is trusted, or not.
            connection = f"{self._scheme} {self.peer}".encode()
            self._usual = context.new_usual_exchange(self, context, connection)
        self._deadline = context.monotonic() + context.limits.head_seconds
        self._awaiting_head = True

    def data_received(self, data: bytes) -> None:
        if self._exchange is None:
            if self._accepts_requests and not (
                self._usual is not None and not self._buffer and self._starts_usual(self._usual, data)
            ):
                self._buffer = self._buffer + data if self._buffer else data
                self._start_requests()
        elif self._tunnel:
            self._exchange.body(data)
        elif self._body is not None:
            self._feed_body(data)
        else:
            self._buffer += data
            if len(self._buffer) > _MAX_BUFFERED_BYTES:
                self.pause()

    def eof_received(self) -> bool:
        # A client may half-close after a complete request and wait for the response. A client that disconnected
        # looks the same, so tick() closes the connection if the response is slow.
        waits = self._accepts_requests and (self._exchange is not None or bool(self._buffer and self.write_paused))
        if not waits or self._body is not None or self._tunnel:
            return False
        self._eof_at = self._context.monotonic()
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        self._accepts_requests = False
        if self._registered:
            self._registered = False
            self._unregister()
        else:
            self._context.rejected.discard(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.visitor_lost()
        self._context.upstream_pool.owner_lost(self)
        # It has this connection: without the cycle both are freed now, and not by the garbage collector.
        self._usual = None

    def pause_writing(self) -> None:
        self.write_paused = True
        if self._exchange is not None:
            self._exchange.visitor_full()

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._exchange is not None:
            self._exchange.visitor_drained()
        elif self._accepts_requests:
            self.resume()
            self._start_requests()

    # Called by the exchange.

    def pause(self) -> None:
        """Stop reading from the visitor."""
        if not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read from the visitor again."""
        if self._paused:
            self._paused = False
            # The pause does not count against the body rate.
            self._body_window_start = self._context.monotonic()
            self._body_window_bytes = 0
            if self._registered:
                self.transport.resume_reading()

    def start_tunnel(self) -> None:
        """Forward bytes in both directions without parsing them (after a 101)."""
        self._tunnel = True
        self._body = None
        waiting, self._buffer = self._buffer, b""
        if waiting and self._exchange is not None:
            self._exchange.body(waiting)
        self.resume()

    def scheme(self, head: RequestHead) -> str:
        """``http`` or ``https``: the scheme that the browser used, as far as it is known here."""
        return scheme_of(head, trusted=self.trusted, own=self._scheme)

    @property
    def keep_alive(self) -> bool:
        """Whether another request may follow on this connection."""
        more = not self._eof_at or bool(self._buffer)
        return self._keep_alive and self._body is None and more and not self._context.draining

    def end_exchange(self, *, keep_alive: bool) -> None:
        """End the exchange: its response is written."""
        self._exchange = None
        self._tunnel = False
        if not self._accepts_requests:
            return
        if self._body is not None or (not keep_alive and (self._buffer or self._paused)):
            self._linger()
        elif not keep_alive or self._context.draining:
            self._close()
        else:
            self._deadline = self._context.monotonic() + self._context.limits.idle_seconds
            self._awaiting_head = False
            if self._paused:
                self.resume()
            if not self._starting_requests and (self._buffer or self._eof_at):
                self._start_requests()

    def continue_exchange(self, exchange: ExchangeInterface) -> None:
        """Another object continues the running exchange."""
        self._exchange = exchange

    def abort_response(self, *, self_delimited: bool = False) -> None:
        """Close before the end of the response, so that the visitor notices the truncation.

        :param self_delimited: the response has a length or chunks: an orderly close shows the truncation, and the queue
            is still sent.
        """
        self._exchange = None
        self._close()
        if not self_delimited:
            reset(self.transport)

    def tick(self, now: float) -> None:
        """Check the deadlines: of head and idle time, the rate of the body, the progress of the response."""
        waiting = self.transport.get_write_buffer_size()
        if waiting != self._unsent_bytes:
            self._unsent_bytes = waiting
            self._last_drained_at = now
        elif waiting and now - self._last_drained_at > self._context.limits.stalled_seconds:
            self._context.counters.timeouts["stalled"] += 1
            self.transport.abort()
            return
        if self._exchange is None:
            # A closing connection stays open as long as the visitor reads the queue.
            if now > self._deadline and not (waiting and not self._accepts_requests):
                self._on_deadline()
            return
        if self._body is not None and not self._paused and now - self._body_window_start >= _WINDOW_SECONDS:
            slow = self._body_window_bytes < self._context.limits.body_bytes_per_second * (
                now - self._body_window_start
            )
            self._body_window_start = now
            self._body_window_bytes = 0
            if slow:
                self._context.counters.timeouts["body"] += 1
                self._abandon_exchange(408, "the body comes too slowly")
                return
        if self._eof_at and self._presumed_gone(now):
            self._context.counters.timeouts["visitor left"] += 1
            self.transport.abort()
            return
        self._exchange.tick(now)

    def _presumed_gone(self, now: float) -> bool:
        """After a half-close: whether to treat the visitor as disconnected.

        Only a failed write could prove it, and nothing is being written."""
        exchange = self._exchange
        assert exchange is not None
        if not exchange.response_started:
            return now - self._eof_at > _EOF_SECONDS
        if exchange.made_progress():
            self._eof_at = now
        return now - self._eof_at > _EOF_PAUSE_SECONDS

    def close_if_idle(self) -> None:
        """Close the connection if no exchange is running (while draining)."""
        if self._exchange is None and self._accepts_requests and not self._buffer:
            self._close()

    # Internals.

    def _on_deadline(self) -> None:
        if not self._accepts_requests:
            if self._lingering:
                self._lingering = False
                self._close()
            else:
                self.transport.abort()
            return
        waiting = self._awaiting_head
        self._context.counters.timeouts["head" if waiting else "idle"] += 1
        if waiting and self._buffer:
            self._refuse(408, "the head did not come in time")
        else:
            self._close()

    def _unregister(self) -> None:
        context = self._context
        context.connections.discard(self)
        context.counters.connections_open -= 1
        left = context.per_address.get(self.peer, 1) - 1
        if left > 0:
            context.per_address[self.peer] = left
        else:
            context.per_address.pop(self.peer, None)

    def _close(self) -> None:
        """Accept no more requests; close after the queue is sent."""
        self._accepts_requests = False
        self._buffer = b""
        self._deadline = self._context.monotonic() + _CLOSING_SECONDS
        self.transport.close()

    def _linger(self) -> None:
        """Send the queue, discard input for a while, then close (RFC 9112 section 9.6).

        A close with unread input would send a reset, which can destroy the response on its way."""
        self._accepts_requests = False
        self._lingering = True
        self._buffer = b""
        self._body = None
        self._deadline = self._context.monotonic() + _LINGER_SECONDS
        self.transport.write_eof()
        self.resume()

    def _start_requests(self) -> None:
        """Start buffered requests one after another; a loop, so that many pipelined requests do not recurse."""
        self._starting_requests = True
        try:
            # While the queue is full, no further responses are produced.
            while self._accepts_requests and self._exchange is None and self._buffer and not self.write_paused:
                before = self._buffer
                self._start_next_request()
                if self._buffer is before:
                    break
        finally:
            self._starting_requests = False
        if self._exchange is None and self._accepts_requests:
            if self.write_paused and self._buffer:
                if len(self._buffer) > _MAX_BUFFERED_BYTES:
                    self.pause()
            elif self._eof_at:
                self._close()

    def _start_next_request(self) -> None:
        """Parse the next head, if it is complete, and start its exchange."""
        context = self._context
        limits = context.limits
        try:
            head = self._next_head()
            if head is None:
                return
            framing = request_framing(head) if head.flags & HAS_FRAMING else NO_BODY
        except BadRequest as refusal:
            self._refuse(refusal.status, refusal.why)
            return
        context.counters.requests += 1
        self._request_count += 1
        self._keep_alive = keeps_alive(head)
        if self._request_count >= limits.requests_per_connection:
            self._keep_alive = False
            context.counters.connections_worn += 1
        exchange: Exchange | InternalExchange
        has_body = framing is not NO_BODY
        # All internal paths contain the prefix.
        if context.prefix in head.target and self._is_internal(head.path):
            exchange = InternalExchange(self, context, head, has_body=has_body)
        else:
            exchange = Exchange(self, context, head, framing)
        self._exchange = exchange
        if has_body:
            self._start_with_body(exchange, body_reader(framing, BadRequest))
        else:
            exchange.start()

    def _starts_usual(self, usual: UsualExchangeInterface, data: bytes) -> bool:
        """Start the exchange of a usual request; False if it is not one, and nothing was done."""
        context = self._context
        limits = context.limits
        if (
            self.write_paused
            or self._eof_at
            or context.draining
            or len(data) > limits.head_bytes
            or self._request_count + 1 >= limits.requests_per_connection
            or not usual.takes(data)
        ):
            return False
        context.counters.requests += 1
        self._request_count += 1
        self._keep_alive = True
        self._exchange = usual
        usual.start()
        return True

    def _next_head(self) -> RequestHead | None:
        """Take the next head out of the buffer; None if it is not complete.

        :raises BadRequest: if it is not valid or too large.
        """
        limits = self._context.limits
        buffer = self._buffer
        if buffer[0] == _CR:
            # RFC 9112 section 2.2: empty lines before the request line are skipped.
            buffer = self._buffer = _EMPTY_LINES.sub(b"", buffer, 1)
        if len(buffer) <= limits.head_bytes:
            head = whole_request_head(buffer, limits.header_lines)
            if head is not None:
                self._buffer = b""
                return head
        end = head_end(buffer)
        if end < 0 and len(buffer) <= limits.head_bytes:
            self._wait_for_head(buffer)
            return None
        if end < 0 or end > limits.head_bytes:
            raise BadRequest(431, f"a head of more than {limits.head_bytes} bytes")
        head = read_request_head(buffer[:end], limits.header_lines)
        self._buffer = buffer[end:]
        return head

    def _start_with_body(self, exchange: ExchangeInterface, reader: BodyReader) -> None:
        """Start an exchange whose request has a body, with the body bytes that are in the buffer."""
        self._body = reader
        self._body_window_start = self._context.monotonic()
        self._body_window_bytes = 0
        rest, self._buffer = self._buffer, b""
        exchange.start()
        if rest and self._exchange is exchange:
            self._feed_body(rest)
        if self._eof_at and self._body is not None and self._exchange is exchange:
            # After the half-close the body stays incomplete.
            self._exchange = None
            exchange.visitor_lost()
            self._close()

    def _wait_for_head(self, partial_head: bytes) -> None:
        """Wait for the rest of a head until the head deadline."""
        if has_bare_lf(partial_head):
            raise BadRequest(400, "a bare LF in the head")
        if not self._awaiting_head and partial_head:
            self._awaiting_head = True
            self._deadline = self._context.monotonic() + self._context.limits.head_seconds

    def _is_internal(self, path: bytes) -> bool:
        context = self._context
        size = len(context.prefix)
        return (path.startswith(context.prefix) and path[size : size + 1] in {b"/", b""}) or path.endswith(
            context.internal_suffixes
        )

    def _feed_body(self, data: bytes) -> None:
        reader = self._body
        exchange = self._exchange
        if reader is None or exchange is None:
            return
        self._body_window_bytes += len(data)
        try:
            body, rest = reader.feed(data)
        except BadRequest as refusal:
            self._abandon_exchange(refusal.status, refusal.why)
            return
        if body:
            exchange.body(body)
        if reader.done and self._exchange is exchange:
            self._body = None
            self._buffer = rest
            exchange.body_end(reader.trailers if isinstance(reader, ChunkedReader) else [])

    def _refuse(self, status: int, why: str) -> None:
        self._context.counters.refused[status] += 1
        self._context.log("refused", f"{status}: {why}")
        self.transport.write(write_refusal(status, why, self._context.date_line()))
        self._linger()

    def _abandon_exchange(self, status: int, why: str) -> None:
        """Refuse a request whose exchange is running; abort its response if that has started."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            response_started = exchange.response_started
            exchange.visitor_lost()
            if response_started:
                self._context.counters.refused[status] += 1
                self.abort_response()
                return
        self._refuse(status, why)


if TYPE_CHECKING:
    _: type[VisitorSide] = VisitorConnection
