"""A node whose cost for one message is measured, and what visitors and applications may repeat in a message."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from tests.support.in_memory_node import InMemoryNode, html

#: All fields that a node reads in a visitor's request, and some that it passes on.
REQUEST_FIELDS = (
    "Accept", "Accept-Encoding", "Authorization", "Cache-Control", "Connection", "Content-Encoding", "Content-Type",
    "Cookie", "Expect", "Forwarded", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "Keep-Alive",
    "Lbc-Authority", "Lbc-Capture", "Lbc-Forwarded-By", "Lbc-Hop", "Lbc-Nonce", "Max-Forwards", "Origin", "Prefer",
    "Proxy-Connection", "Range", "Referer", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Purpose", "Signature",
    "Signature-Input", "Surrogate-Capability", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent", "Via",
    "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Real-IP", "X-Requested-With",
    "X-Whatever",
)  # fmt: skip
#: Fields that the node's own resources read.
OWN_FIELDS = {"Cookie", "Signature", "Signature-Input", "Lbc-Authority", "Lbc-Nonce", "Origin", "X-Forwarded-For"}
TARGETS = ("/p", "/_lbc/page/1token", "/_lbc/whoami", "/_lbc/debug", "/_lbc/notice")
#: All fields that a node reads in an answer.
ANSWER_FIELDS = (
    "Accept-Ranges", "Age", "Cache-Control", "Connection", "Content-Disposition", "Content-Encoding",
    "Content-Language", "Content-Range", "Content-Security-Policy", "Content-Security-Policy-Report-Only",
    "Content-Type", "ETag", "Expires", "Integrity-Policy", "Keep-Alive", "Last-Modified", "Link", "Location", "Pragma",
    "Refresh", "Retry-After", "Set-Cookie", "Surrogate-Control", "Trailer", "Upgrade", "Vary", "Via",
    "WWW-Authenticate", "X-Whatever",
)  # fmt: skip
#: What a page may repeat.
MARKUP = (
    "<", "<a", "<a b", "<a b=", '<a b="', "<a/", "</", "</a", "<!", "<!-", "<!--", "<!---->", "<!-- x --", "<?", "&",
    "&#", "&amp", "<p>", "<p></p>", "<svg>", "<svg><desc>", "<math><mi>", "<table>", "<b><i>", "<script>",
    "<script><!--", "</script>", "<style>", "<title>", "<textarea>", "<noscript>", "<template>", "<plaintext>",
    "<select><option>", "<meta charset=", '<meta charset="a{}">',
    "<meta http-equiv=content-security-policy content=\"default-src 'self'\">", "<base href=/a{}>",
    "<input type=password value=a{}>", "<input autocomplete=cc-number value='", "<!-- lbc:exclude -->",
    "<!-- /lbc:exclude -->", "<!-- lbc:exclude --><p>", "<html>", "<head>", "</head>", "<body>", "</body>", "</html>",
    "]]>", "<![CDATA[", "\0", "\xe9", "<a b{}=c>", "=", '"', "'", ">", "\n", " ", "</a>", "<i srcdoc=a>",
    "<div type=password autocomplete=cc-a>", "<div autocomplete=cc-a></div>", "<div autocomplete=cc-a><p></div>",
)  # fmt: skip


class CostNode:
    """A node in memory that is asked again and again, and keeps nothing that only a test would keep.

    :ivar answer: what the application sends.
    """

    def __init__(self, **tables: Any) -> None:
        self.node = InMemoryNode(node={"trusted_proxies": (ip_network("192.0.2.0/24"),)}, **tables)
        self.answer = html()
        self.node.application.on_request = lambda connection, received: connection.send(self.answer)

    def ask(self, raw: bytes) -> bytes:
        visitor = self.node.connect()
        visitor.send(raw)
        self.node.run()
        received = bytes(visitor.received)
        visitor.reset()
        self.node.run()
        application = self.node.application
        application.received_requests.clear()
        application.heads.clear()
        for connection in application.connections:
            connection.remote.received = b""
        del application.connections[:-10]
        self.node.captured.clear()
        self.node.logged.clear()
        return received
