"""A proxy with capture and injection over aiohttp, as an engineer would write it in an afternoon and then tune it.

``python -m bench.proxies.aiohttp_proxy PORT ORIGIN_PORT`` runs it. It has a memory store with the companion's limits,
and none of its other duties: no masks, digests, signatures, policy of the page, deadlines.
"""

from __future__ import annotations

import re
import secrets
import sys
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from yarl import URL

from bench.workload import NOT_CAPTURED

_MAX_PAGES = 10000
_MAX_BYTES = 268435456
_MAX_PAGE_BYTES = 4194304
_PREFIX = "/_lbc/page/"
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length"}
)
_HEAD = re.compile(rb"<head(?:\s[^>]*)?>", re.I)


class _Copies:
    def __init__(self) -> None:
        self._pages: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def put(self, page: bytes) -> str:
        token = f"1{secrets.token_urlsafe(16)}n1"
        self._pages[token] = page
        self._size += len(page)
        while len(self._pages) > _MAX_PAGES or self._size > _MAX_BYTES:
            self._size -= len(self._pages.popitem(last=False)[1])
        return token

    def get(self, token: str) -> bytes | None:
        return self._pages.get(token)


def _with_tag(page: bytes, token: str, origin: str) -> bytes:
    tag = (
        f'<script async src="/_lbc/fetch-from.js?v=0a1b2c3d4e5f" data-lbc-token="{token}"'
        f' data-lbc-fetch-from="{origin}{_PREFIX}{token}"></script>'
    ).encode()
    found = _HEAD.search(page)
    at = found.end() if found else 0
    return page[:at] + tag + page[at:]


class _Proxy:
    def __init__(self, origin_port: int) -> None:
        self._origin = f"http://127.0.0.1:{origin_port}"
        self._copies = _Copies()

    async def session(self, app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        ) as self._session:
            yield

    async def copy(self, request: web.Request) -> web.Response:
        page = self._copies.get(request.match_info["token"])
        if page is None:
            raise web.HTTPNotFound
        return web.Response(body=page, content_type="text/html")

    async def proxied(self, request: web.Request) -> web.StreamResponse:
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP]
        headers += [
            ("X-Forwarded-For", request.remote or ""),
            ("X-Forwarded-Proto", request.scheme),
            ("X-Forwarded-Host", request.host),
        ]
        async with self._session.request(
            request.method,
            URL(self._origin + request.raw_path, encoded=True),
            headers=headers,
            data=request.content if request.can_read_body else None,
            allow_redirects=False,
        ) as answer:
            end_to_end = [(name, value) for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP]
            if self._is_page(request, answer):
                body = await self._captured(request, answer)
                return web.Response(status=answer.status, reason=answer.reason, headers=end_to_end, body=body)
            response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=end_to_end)
            if answer.content_length is not None:
                response.content_length = answer.content_length
            await response.prepare(request)
            async for part in answer.content.iter_any():
                await response.write(part)
            await response.write_eof()
            return response

    @staticmethod
    def _is_page(request: web.Request, answer: aiohttp.ClientResponse) -> bool:
        return (
            request.method in {"GET", "POST"}
            and answer.status == 200
            and answer.content_type == "text/html"
            and (answer.content_length or 0) <= _MAX_PAGE_BYTES
            and answer.headers.get("Content-Encoding", "gzip") == "gzip"
            and not request.path.startswith(NOT_CAPTURED)
        )

    async def _captured(self, request: web.Request, answer: aiohttp.ClientResponse) -> bytes:
        body = await answer.read()
        coded = "Content-Encoding" in answer.headers
        page = zlib.decompress(body, 31) if coded else body
        tagged = _with_tag(page, self._copies.put(page), f"{request.scheme}://{request.host}")
        if not coded:
            return tagged
        coder = zlib.compressobj(3, zlib.DEFLATED, 31)
        return coder.compress(tagged) + coder.flush()


def main() -> None:
    """Serve until a signal ends it."""
    port, origin_port = int(sys.argv[1]), int(sys.argv[2])
    proxy = _Proxy(origin_port)
    app = web.Application(client_max_size=1 << 40)
    app.cleanup_ctx.append(proxy.session)
    app.router.add_get(_PREFIX + "{token}", proxy.copy)
    app.router.add_route("*", "/{path:.*}", proxy.proxied)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=lambda *words: None, backlog=1024)


if __name__ == "__main__":
    main()
