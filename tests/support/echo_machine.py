"""A machine of a connection that sends back what it gets."""

from __future__ import annotations

from lbcompanion.node.proxy.interface import Transport


class Echo:
    """Sends back its input, and notes the events."""

    def __init__(self, keeps: bool = False) -> None:
        self.told: list[object] = []
        self.keeps = keeps

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def eof_received(self) -> bool:
        self.told.append("eof")
        return self.keeps

    def connection_lost(self, exc: BaseException | None) -> None:
        self.told.append(exc)

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")
