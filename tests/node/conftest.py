"""The application behind the companions of this folder's tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.support.raw_application import RawApplication


@pytest.fixture(name="application", scope="module")
def _application() -> Iterator[RawApplication]:
    with RawApplication() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.go_on.set()
        server.shutdown()
