from typing import TypeVar

_Kind = TypeVar("_Kind")

def setup(
    of_request: dict[bytes, int],
    request_key: tuple[bytes, ...],
    request_others: tuple[bytes, ...],
    request_ignored: tuple[bytes, ...],
    of_response: dict[bytes, int],
    response_key: tuple[bytes, ...],
    response_others: tuple[bytes, ...],
    response_ignored: tuple[bytes, ...],
) -> None: ...
def usual_request(
    raw: bytes, prefix: bytes, known: dict[bytes, _Kind], max_lines: int
) -> tuple[bytes, _Kind, bytes] | bytes | None: ...
def usual_response(
    raw: bytes, prefix: bytes, known: dict[bytes, _Kind], max_lines: int
) -> tuple[_Kind, bytes, int, int, bytes | None] | bytes | None: ...
def write_response(start: bytes, body: bytes, body_start: int, at: int, inserted: bytes, chunked: bool) -> bytes: ...
