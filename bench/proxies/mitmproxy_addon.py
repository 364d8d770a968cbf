"""mitmproxy's addon: captures pages into memory and inserts the tag. Run by mitmproxy, in an environment of its own."""

from __future__ import annotations

import os
import re
import secrets
from collections import OrderedDict

from mitmproxy import http

PREFIX = "/_lbc/page/"
NOT_CAPTURED = os.environ["NOT_CAPTURED"]
HEAD = re.compile(rb"<head(?:\s[^>]*)?>", re.I)
copies: OrderedDict[str, bytes] = OrderedDict()


def is_page(flow: http.HTTPFlow) -> bool:
    """Whether a copy is taken."""
    return (
        flow.response.status_code == 200
        and flow.response.headers.get("content-type", "").startswith("text/html")
        and not flow.request.path.startswith((NOT_CAPTURED, PREFIX))
    )


def request(flow: http.HTTPFlow) -> None:
    """A request is whole: a fetch is answered, others get the forwarding fields."""
    if flow.request.path.startswith(PREFIX):
        page = copies.get(flow.request.path[len(PREFIX) :])
        kind = {"Content-Type": "text/html"}
        flow.response = http.Response.make(200 if page else 404, page or b"", kind)
        return
    flow.request.headers["X-Forwarded-For"] = flow.client_conn.peername[0]
    flow.request.headers["X-Forwarded-Proto"] = flow.request.scheme
    flow.request.headers["X-Forwarded-Host"] = flow.request.host_header


def responseheaders(flow: http.HTTPFlow) -> None:
    """An answer's head is there: what is no page is streamed."""
    if not is_page(flow):
        flow.response.stream = True


def response(flow: http.HTTPFlow) -> None:
    """An answer is whole: capture and insert."""
    if flow.response.stream or not is_page(flow):
        return
    page = flow.response.content
    token = "1" + secrets.token_urlsafe(16) + "n1"
    copies[token] = page
    while len(copies) > 10000:
        copies.popitem(last=False)
    tag = (
        '<script async src="/_lbc/fetch-from.js?v=0a1b2c3d4e5f" data-lbc-token="' + token + '"'
        ' data-lbc-fetch-from="http://' + flow.request.host_header + PREFIX + token + '"></script>'
    ).encode()
    found = HEAD.search(page)
    at = found.end() if found else 0
    flow.response.content = page[:at] + tag + page[at:]
