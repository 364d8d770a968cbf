"""The proxies that are measured: one class each, in the order in which they run. A new one is added to ``PEERS``."""

from bench.peers.companion import Companion
from bench.peers.interface import Peer
from bench.peers.nginx import NginxLua, NginxPlain

#: Ratios are taken to this one.
REFERENCE = NginxLua.name

PEERS: tuple[type[Peer], ...] = (Companion, NginxLua, NginxPlain)
