from collections.abc import Callable

def receive(descriptor: int, size: int) -> bytes: ...
def send(descriptor: int, data: bytes | bytearray | memoryview) -> int: ...
def wait(
    descriptor: int,
    milliseconds: int,
    readers: dict[int, Callable[[], None]],
    on_error: Callable[[BaseException], object],
) -> list[tuple[int, int]]: ...
