"""One proxied request and its response: visitor, plan, application, pipeline, visitor. No I/O.

==========  ====================================  ====================================================================
state       attributes                            left by
==========  ====================================  ====================================================================
queued      ``_queued``, no ``_upstream``         ``upstream_dequeued``: *connecting*;
                                                  ``upstream_queue_seconds``: 503
connecting  no ``_upstream``, no ``_response``    ``upstream_ready``: *waiting*; ``upstream_failed`` or
                                                  ``upstream_connect_seconds``: 502 or 504
waiting     ``_upstream``, no ``_response``       the response head: *responding*, or *over* if an internal response
                                                  replaces it; a requested 101: *tunnel*; a bad head: 502; a close
                                                  without a response: 502, or *connecting* once more (``_retried``);
                                                  ``upstream_seconds``: 504
responding  ``response_started``, ``_response``   the end of the body: *over*; a bad or incomplete body: truncated,
                                                  *over*
tunnel      ``response_started``, ``_tunnel``     a close on either side: *over*
over        no ``_visitor``                       nothing: answered, truncated, or the visitor disconnected
==========  ====================================  ====================================================================

The request body is forwarded in parallel until ``_request_complete``; before *waiting* it is collected in
``_unsent_request``. ``upstream_seconds`` is not checked while the application reads the request body
(``_upstream_stalled``: it reads none). ``_deadline`` is 0 from *responding* on: a response may last. While the visitor
reads slowly, reading from the application is paused (``_upstream_paused``).
"""

from __future__ import annotations

from lbcompanion.errors import BadResponse
from lbcompanion.http1.field_lines import AUTHENTICATION, HAS_DATE, UPGRADE
from lbcompanion.http1.fields import authenticates_connection, end_to_end, keeps_alive, offers, upgrade_protocols
from lbcompanion.http1.framing import (
    CHUNKED_KIND,
    LENGTH_KIND,
    NO_BODY_KIND,
    BodyReader,
    ChunkedReader,
    Framing,
    UntilCloseReader,
    body_reader,
    chunk,
    contradicts_framing,
    last_chunk,
    response_framing,
)
from lbcompanion.http1.heads import (
    Field,
    RequestHead,
    ResponseHead,
    has_bare_lf,
    head_end,
    is_response_start,
    read_response_head,
    write_status_line,
)
from lbcompanion.node.proxy.answers import gateway_error, phrase, write_response
from lbcompanion.node.proxy.context import InternalResponse, Pipeline, ProxyContext
from lbcompanion.node.proxy.hops import final_response
from lbcompanion.node.proxy.interface import VisitorSide
from lbcompanion.node.proxy.request_head import counts_hops, request_head, requested_upgrade
from lbcompanion.node.proxy.upstream import UpstreamConnection

# Idempotent methods without a body (RFC 9110 section 9.2.2): such a request may be sent a second time.
_RETRYABLE_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})
_BODYLESS = frozenset({204, 304})
# Below this size joining the pieces costs less than sending them separately.
_JOIN_BELOW_BYTES = 32768


class Exchange:
    """Proxies one request and its response.

    It forwards the request as it arrives. The response head decides about framing and pipeline. After the body the
    connection to the application returns to the pool or is closed.
    """

    # Class-level defaults of rarely set attributes: most instances pay nothing for them.
    _upstream: UpstreamConnection | None = None
    _response: ResponseHead | None = None
    _response_buffer = b""
    _reader: BodyReader | None = None
    _pipeline: Pipeline | None = None
    _chunked_output = False
    _close_delimited = False
    _keep_alive = True
    _retried = False
    _queued = False
    _tunnel = False
    _upstream_stalled = False
    _upstream_paused = False
    _interim_seen = False
    # The connection to the application must not be used again.
    _distrusted = False
    # The request may log its user in on the connection (NTLM), so that no other visitor may use this connection.
    _authenticates_connection = False
    _progressed = False
    _requested_upgrade: bytes | None = None
    response_started = False

    def __init__(self, visitor: VisitorSide, context: ProxyContext, head: RequestHead, framing: Framing) -> None:
        self._visitor: VisitorSide | None = visitor
        self._context = context
        self._head = head
        self._framing = framing
        self._request_complete = framing.kind is NO_BODY_KIND
        self._retryable = self._request_complete and head.method in _RETRYABLE_METHODS

    @classmethod
    def resumed(
        cls,
        visitor: VisitorSide,
        context: ProxyContext,
        head: RequestHead,
        framing: Framing,
        *,
        upstream: UpstreamConnection,
        sent: bytes,
        deadline: float,
    ) -> Exchange:
        """An exchange in the state *waiting*, whose request another object has sent.

        :param sent: the request head for the application, as :meth:`start` would have sent it.
        :param deadline: when the application has to have answered, by the context's monotonic clock.
        """
        exchange = cls(visitor, context, head, framing)
        exchange._plan = context.plan(head, visitor.peer, visitor.trusted, visitor.scheme(head))
        exchange._unsent_request = [sent]
        exchange._upstream = upstream
        exchange._deadline = deadline
        return exchange

    # The request.

    def start(self) -> None:
        """Send the request head on a pooled or new connection."""
        visitor = self._visitor
        assert visitor is not None
        head = self._head
        context = self._context
        if counts_hops(head):
            response = final_response(head, context)
            if response is not None:
                self._send_internal_response(response)
                return
        plan = self._plan = context.plan(head, visitor.peer, visitor.trusted, visitor.scheme(head))
        if head.flags & AUTHENTICATION:
            self._authenticates_connection = authenticates_connection(head)
        if head.flags & UPGRADE:
            self._requested_upgrade = requested_upgrade(head)
        self._unsent_request = [request_head(head, self._framing, plan, context, self._requested_upgrade)]
        if not self._request_complete:
            visitor.pause()
        self._acquire(fresh=not self._retryable or self._requested_upgrade is not None)

    def _acquire(self, *, fresh: bool) -> None:
        limits = self._context.limits
        self._deadline = 0.0
        self._queued = self._context.upstream_pool.acquire(self, fresh=fresh, retry=self._retried, owner=self._visitor)
        if not self._deadline:
            # It is not an idle connection, for which upstream_ready set the deadline already.
            seconds = limits.upstream_queue_seconds if self._queued else limits.upstream_connect_seconds
            self._deadline = self._context.monotonic() + seconds

    def upstream_dequeued(self) -> None:
        self._queued = False
        self._deadline = self._context.monotonic() + self._context.limits.upstream_connect_seconds

    def _leave_queue(self) -> None:
        if self._queued:
            self._queued = False
            self._context.upstream_pool.cancel(self)

    def upstream_ready(self, upstream: UpstreamConnection) -> None:
        visitor = self._visitor
        if visitor is None:
            self._context.upstream_pool.release(upstream)
            return
        self._upstream = upstream
        if self._authenticates_connection:
            upstream.owner = visitor
        self._deadline = self._context.monotonic() + self._context.limits.upstream_seconds
        assert upstream.transport is not None
        data = self._unsent_request[0] if len(self._unsent_request) == 1 else b"".join(self._unsent_request)
        if not self._retryable:
            self._unsent_request = []
        upstream.transport.write(data)
        if not self._request_complete:
            visitor.resume()

    def upstream_failed(self, why: str) -> None:
        self._context.counters.upstream_errors[why] += 1
        self._gateway_error(504 if why == "timeout" else 502, f"no connection to the application: {why}")

    def body(self, data: bytes) -> None:
        """Forward bytes of the request body or of a tunnel."""
        if self._framing.kind is CHUNKED_KIND and not self._tunnel:
            data = chunk(data)
        self._forward(data)

    def body_end(self, trailers: list[Field]) -> None:
        """Forward the end of the request body."""
        self._request_complete = True
        if self._framing.kind is CHUNKED_KIND:
            self._forward(last_chunk(trailers))
        self._deadline = max(self._deadline, self._context.monotonic() + self._context.limits.upstream_seconds)

    def _forward(self, data: bytes) -> None:
        upstream = self._upstream
        if upstream is None or upstream.transport is None:
            self._unsent_request.append(data)
        elif not upstream.closed:
            upstream.transport.write(data)

    # The answer.

    def response_data(self, data: bytes) -> None:
        visitor = self._visitor
        if visitor is None:
            return
        self._progressed = True
        if self._tunnel:
            visitor.transport.write(data)
            return
        try:
            if self._response is None:
                self._response_head(data)
            else:
                self._response_body(data)
        except BadResponse as error:
            if self._response is None and not is_response_start(self._response_buffer + data) and self._may_retry():
                # Bytes that belong to an earlier response.
                self._context.counters.upstream_errors["stray bytes"] += 1
                self._retry()
                return
            self._context.counters.upstream_errors[error.what] += 1
            self._context.log("application's answer refused", error.why)
            self._drop_upstream()
            if self.response_started:
                self._truncate("the application's answer broke off")
            else:
                self._gateway_error(502, error.why)

    def _response_head(self, data: bytes) -> None:
        data = self._response_buffer + data if self._response_buffer else data
        limits = self._context.limits
        while self._response is None and not self._tunnel:
            end = head_end(data)
            if end < 0 or end > limits.upstream_head_bytes:
                if end > 0 or len(data) > limits.upstream_head_bytes:
                    why = f"a head of more than {limits.upstream_head_bytes} bytes from the application"
                    raise BadResponse(why, "head too large")
                if has_bare_lf(data):
                    raise BadResponse("a bare LF in the application's head")
                if not is_response_start(data):
                    raise BadResponse("the application's answer is not HTTP/1.0 or HTTP/1.1")
                self._response_buffer = data
                return
            head = read_response_head(data[:end], limits.header_lines)
            data = data[end:]
            if head.status == 101:
                self._start_tunnel(head, data)
                return
            if head.status < 200:
                self._forward_interim(head)
                continue
            self._response_buffer = b""
            self._start_response(head, data)

    def _forward_interim(self, head: ResponseHead) -> None:
        """Forward any other 1xx response, but not to HTTP/1.0 clients (RFC 9110 section 15.2)."""
        self._interim_seen = True
        if contradicts_framing(head):
            self._distrusted = True
        visitor = self._visitor
        if visitor is not None and self._head.version == 11:
            visitor.transport.write(write_status_line(head.status, head.reason) + end_to_end(head) + b"\r\n")

    def _start_tunnel(self, head: ResponseHead, rest: bytes) -> None:
        visitor = self._visitor
        agreed = upgrade_protocols(head)
        requested = self._requested_upgrade
        if (
            requested is None
            or agreed is None
            or visitor is None
            or not self._request_complete
            or not offers(requested, agreed)
        ):
            raise BadResponse("a switch of protocols that was not asked for")
        self._context.counters.tunnels += 1
        self._context.counters.responses[101] += 1
        lines = b"%bConnection: Upgrade\r\nUpgrade: %b\r\n\r\n" % (end_to_end(head), agreed)
        self._tunnel = True
        self.response_started = True
        self._deadline = 0.0
        visitor.transport.write(write_status_line(101, head.reason) + lines + rest)
        visitor.start_tunnel()

    def _start_response(self, head: ResponseHead, rest: bytes) -> None:
        """Decide about the final response; send its head with the body bytes that came along."""
        visitor = self._visitor
        upstream = self._upstream
        assert visitor is not None
        assert upstream is not None
        framing = response_framing(head, self._head.method)
        self._response = head
        self._deadline = 0.0
        self._keep_alive = self._request_complete and visitor.keep_alive
        response_plan = self._plan.plan_response(head)
        if response_plan.replacement is not None:
            self._drop_upstream()
            self._send_internal_response(response_plan.replacement)
            return
        pipeline = self._pipeline = response_plan.pipeline
        if framing.kind is LENGTH_KIND and framing.length == len(rest):
            pieces = [rest] if pipeline is None else pipeline.transform_whole(rest)
            complete, leftover = True, b""
        else:
            reader = self._reader = body_reader(framing, BadResponse)
            body, leftover = reader.feed(rest) if rest else (b"", b"")
            complete = reader.done
            if pipeline is None:
                pieces = [body]
            else:
                pieces = pipeline.transform_whole(body) if complete else [pipeline.feed(body) if body else b""]
        self._context.counters.responses[head.status] += 1
        size = len(pieces[0]) if len(pieces) == 1 else sum(map(len, pieces))
        framed = self._response_framing_lines(head, framing, size if complete else None)
        if self._chunked_output:
            pieces = [b"%x\r\n" % size, *pieces, b"\r\n"] if size else []
            if complete:
                pieces.append(last_chunk(self._trailers()))
        self.response_started = True
        # RFC 9110 section 6.6.1: a forwarded response has a date.
        lines = response_plan.lines if head.flags & HAS_DATE else self._context.date_line() + response_plan.lines
        if size < _JOIN_BELOW_BYTES:
            visitor.transport.write(b"".join((_status_line(head), lines, framed, *pieces)))
        else:
            visitor.transport.writelines((_status_line(head), lines, framed, *pieces))
        if complete:
            self._finish(leftover)
        elif visitor.write_paused:
            # The queue still holds the previous response.
            self.visitor_full()

    def _response_framing_lines(self, head: ResponseHead, framing: Framing, known_length: int | None) -> bytes:
        """The framing lines of the response, with the empty line that ends the head.

        :param known_length: the length of the transformed body; None while it is unknown."""
        unchanged = self._pipeline is None or self._pipeline.same_length
        kind = framing.kind
        if kind is NO_BODY_KIND:
            stated = head.values.get(b"content-length")
            length_line = (
                b"Content-Length: %b\r\n" % stated if stated is not None and unchanged and head.status != 204 else b""
            )
        elif kind is LENGTH_KIND and (unchanged or known_length is not None):
            length_line = b"Content-Length: %d\r\n" % (
                framing.length if known_length is None or unchanged else known_length
            )
        elif known_length is not None and (kind is not CHUNKED_KIND or self._head.version == 10):
            length_line = b"Content-Length: %d\r\n" % known_length
        elif self._head.version == 11:
            self._chunked_output = True
            length_line = b"Transfer-Encoding: chunked\r\n"
        else:
            self._keep_alive = False
            self._close_delimited = True
            length_line = b""
        if not self._keep_alive:
            return length_line + b"Connection: close\r\n\r\n"
        if self._head.version == 10:
            return length_line + b"Connection: keep-alive\r\n\r\n"
        return length_line + b"\r\n"

    def _response_body(self, data: bytes) -> None:
        visitor, reader, pipeline = self._visitor, self._reader, self._pipeline
        assert visitor is not None
        assert reader is not None
        if pipeline is None and self._chunked_output and isinstance(reader, ChunkedReader):
            leftover = self._forward_chunks(visitor, reader, data)
        else:
            out, leftover = reader.feed(data)
            if pipeline is not None:
                out = pipeline.feed(out) if out else b""
                if reader.done:
                    out += pipeline.finish()
                if pipeline.broken:
                    self._cut(visitor, out, pipeline.broken)
                    return
            if self._chunked_output:
                out = chunk(out) + (last_chunk(self._trailers()) if reader.done else b"")
            if out:
                visitor.transport.write(out)
        if reader.done:
            self._finish(leftover)

    def _cut(self, visitor: VisitorSide, out: bytes, why: str) -> None:
        """Send the last bytes of a body that cannot be continued, and end the response so that the visitor notices."""
        if out:
            visitor.transport.write(chunk(out) if self._chunked_output else out)
        self._context.counters.upstream_errors["bad answer"] += 1
        self._context.log("application's answer refused", why)
        self._drop_upstream()
        self._truncate(why)

    def _forward_chunks(self, visitor: VisitorSide, reader: ChunkedReader, data: bytes) -> bytes:
        """Forward received chunks as one chunk without copying them; return the bytes after the body."""
        pieces, leftover = reader.feed_pieces(data)
        size = sum(map(len, pieces))
        end = last_chunk(reader.trailers) if reader.done else b""
        if size:
            visitor.transport.writelines((b"%x\r\n" % size, *pieces, b"\r\n" + end))
        elif end:
            visitor.transport.write(end)
        return leftover

    def _trailers(self) -> list[Field]:
        # Trailers of a changed body would describe the original bytes (digests above all).
        if isinstance(self._reader, ChunkedReader) and (self._pipeline is None or self._pipeline.same_length):
            return self._reader.trailers
        return []

    def _may_retry(self) -> bool:
        """Whether the request may be sent once more, if nothing of a response has arrived."""
        upstream = self._upstream
        return self._retryable and not self._retried and not self._interim_seen and bool(upstream and upstream.reused)

    def _retry(self) -> None:
        """Send the request once more, on a new connection."""
        self._drop_upstream()
        self._retried = True
        self._response_buffer = b""
        self._acquire(fresh=True)

    def response_end(self, *, orderly: bool) -> None:
        visitor = self._visitor
        may_retry = self._response is None and not self._response_buffer and self._may_retry()
        self._upstream = None
        if visitor is None:
            return
        if self._tunnel:
            visitor.end_exchange(keep_alive=False)
            return
        if self._response is None:
            if may_retry:
                # The idle connection was closed just as it was reused, without an answer.
                self._retry()
                return
            self._context.counters.upstream_errors["no answer"] += 1
            self._gateway_error(502, "the application closed without an answer")
            return
        if isinstance(self._reader, UntilCloseReader) and orderly:
            self._reader.end()
            pipeline = self._pipeline
            out = pipeline.finish() if pipeline is not None else b""
            if pipeline is not None and pipeline.broken:
                self._cut(visitor, out, pipeline.broken)
                return
            if self._chunked_output:
                out = chunk(out) + last_chunk([])
            if out:
                visitor.transport.write(out)
            self._finish(b"")
            return
        self._context.counters.upstream_errors["broke off"] += 1
        self._truncate("the application broke off")

    # Ends.

    def _finish(self, leftover: bytes) -> None:
        """End the exchange after the whole response was written."""
        upstream, self._upstream = self._upstream, None
        visitor, self._visitor = self._visitor, None
        assert self._response is not None
        if upstream is not None:
            if self._request_complete and not leftover and self._is_reusable(upstream, self._response):
                if self._upstream_paused and upstream.transport is not None:
                    upstream.transport.resume_reading()
                if upstream.owner is not None or (
                    self._response.flags & AUTHENTICATION and authenticates_connection(self._response)
                ):
                    self._keep_bound(upstream, visitor)
                else:
                    self._context.upstream_pool.release(upstream)
            else:
                upstream.discard()
        pipeline, self._pipeline = self._pipeline, None
        if visitor is not None:
            visitor.end_exchange(keep_alive=self._keep_alive)
        if pipeline is not None:
            pipeline.written()

    def _is_reusable(self, upstream: UpstreamConnection, response: ResponseHead) -> bool:
        """Whether another request may be sent on the connection to the application."""
        if upstream.closed or self._distrusted or not keeps_alive(response):
            return False
        return response.status not in _BODYLESS or not contradicts_framing(response)

    def _keep_bound(self, upstream: UpstreamConnection, visitor: VisitorSide | None) -> None:
        """Keep a connection for this visitor's next request, if there may be one."""
        if visitor is None or not self._keep_alive:
            upstream.discard()
            return
        self._context.upstream_pool.keep_bound(upstream, visitor)

    def _gateway_error(self, status: int, why: str) -> None:
        """Answer 502, 503 or 504, or truncate a response that has started."""
        self._context.log("no answer for a visitor", why)
        self._drop_upstream()
        if self.response_started:
            self._truncate(why)
            return
        self._drop_pipeline(why)
        if self._visitor is None:
            return
        if not self._request_complete:
            self._keep_alive = False
        self._send_internal_response(gateway_error(status))

    def _send_internal_response(self, answer: InternalResponse) -> None:
        visitor, self._visitor = self._visitor, None
        if visitor is None:
            return
        self._context.counters.responses[answer.status] += 1
        keep_alive = self._keep_alive and visitor.keep_alive and self._request_complete
        date_line = self._context.date_line()
        visitor.transport.write(write_response(answer, self._head, keep_alive=keep_alive, date_line=date_line))
        visitor.end_exchange(keep_alive=keep_alive)

    def _truncate(self, why: str) -> None:
        visitor, self._visitor = self._visitor, None
        held = self._drop_pipeline(why)
        if visitor is not None:
            if held:
                visitor.transport.write(chunk(held) if self._chunked_output else held)
            visitor.abort_response(self_delimited=not self._close_delimited)

    def _drop_pipeline(self, why: str) -> bytes:
        """Abort the pipeline; return the bytes that it held back."""
        pipeline, self._pipeline = self._pipeline, None
        return b"" if pipeline is None else pipeline.abort(why)

    def _drop_upstream(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.discard()

    def visitor_lost(self) -> None:
        """Close the connection to the application: no visitor waits for its response."""
        self._visitor = None
        self._leave_queue()
        if self._tunnel and self._upstream is not None:
            # Bytes in the queue still reach the application.
            self._upstream.end()
            self._upstream = None
        self._drop_upstream()
        self._drop_pipeline("the visitor left")

    def made_progress(self) -> bool:
        """Whether response bytes arrived since the last call."""
        moved, self._progressed = self._progressed, False
        return moved

    # Flow.

    def visitor_full(self) -> None:
        """Backpressure: stop reading from the application."""
        if self._upstream is not None and self._upstream.transport is not None:
            self._upstream_paused = True
            self._upstream.transport.pause_reading()

    def visitor_drained(self) -> None:
        """Read from the application again."""
        if self._upstream is not None and self._upstream.transport is not None:
            self._upstream.transport.resume_reading()

    def upstream_full(self) -> None:
        """Backpressure: stop reading from the visitor. The application has to read on within ``upstream_seconds``."""
        if not self._request_complete:
            self._upstream_stalled = True
            self._deadline = self._context.monotonic() + self._context.limits.upstream_seconds
        if self._visitor is not None:
            self._visitor.pause()

    def upstream_drained(self) -> None:
        """Read from the visitor again."""
        self._upstream_stalled = False
        if self._visitor is not None:
            self._visitor.resume()

    def tick(self, now: float) -> None:
        """Check the deadlines for the connection and for the response head."""
        if self._deadline and now > self._deadline and self._response is None:
            if self._upstream is not None and not self._request_complete and not self._upstream_stalled:
                return
            self._deadline = 0.0
            if self._queued:
                self._leave_queue()
                self._context.counters.timeouts["queue"] += 1
                self._gateway_error(503, "no connection to the application came free in time")
                return
            self._context.counters.timeouts["upstream"] += 1
            self._gateway_error(504, "the application did not answer in time")


def _status_line(head: ResponseHead) -> bytes:
    if head.status == 200 and head.reason == b"OK":
        return b"HTTP/1.1 200 OK\r\n"
    return write_status_line(head.status, head.reason or phrase(head.status))
