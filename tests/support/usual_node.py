"""A companion in memory whose usual path is on."""

from __future__ import annotations

from typing import Any

from lbcompanion.testing.memory_transport import RemoteEnd
from tests.support.in_memory_node import InMemoryNode
from tests.support.programs import leave_out


def usual_node(**settings: Any) -> InMemoryNode:
    """A node with the usual path."""
    node = InMemoryNode(**settings)
    if node.context.new_usual_exchange is None:
        leave_out("a C compiler, when this was installed")
    return node


def warmed(request: bytes, **settings: Any) -> tuple[InMemoryNode, RemoteEnd]:
    """A node that has answered this request twice, the second time on the usual path, and the visitor's connection."""
    node = usual_node(**settings)
    visitor = node.connect()
    for _ in range(2):
        visitor.send(request)
        node.run()
    assert node.counters.usual_responses == 1, node.counters
    return node, visitor
