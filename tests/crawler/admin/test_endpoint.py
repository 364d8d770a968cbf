from __future__ import annotations

import pytest

from lbcompanion.crawler.admin.endpoint import Call, Endpoint, Response, allowed_methods


async def _handler(_call: Call) -> Response:
    return Response(b"")


@pytest.mark.parametrize(
    ("pattern", "path", "params"),
    [
        ("/", "/", {}),
        ("/", "/x", None),
        ("/api/recordings/{token}", "/api/recordings/abc", {"token": "abc"}),
        ("/api/recordings/{token}", "/api/recordings/abc/page", None),
        ("/api/recordings/{token}", "/api/recordings", None),
        ("/api/recordings/{token}/page", "/api/recordings/abc/page", {"token": "abc"}),
        ("/replay/{token}/", "/replay/abc/", {"token": "abc"}),
        ("/replay/{token}/", "/replay/abc", None),
        ("/replay/{token}/", "/replay/abc/x", None),
    ],
)
def test_paths(pattern: str, path: str, params: dict[str, str] | None) -> None:
    assert Endpoint(pattern, _handler).match(tuple(path.split("/")[1:])) == params


def test_methods() -> None:
    reads, erases = Endpoint("/a", _handler), Endpoint("/a", _handler, ("DELETE",))
    assert reads.allows("HEAD")
    assert not erases.allows("HEAD")
    assert allowed_methods([reads, erases]) == "GET, HEAD, DELETE"
