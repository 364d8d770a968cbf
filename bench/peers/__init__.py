"""The proxies that are measured: one class each, in the order in which they run. A new one is added to ``PEERS``."""

from bench.peers.aiohttp_proxy import AiohttpProxy
from bench.peers.companion import Companion, CompanionInPython, CompanionMachine
from bench.peers.haproxy import HAProxy
from bench.peers.interface import Peer
from bench.peers.mitmproxy import Mitmproxy
from bench.peers.nginx import NginxLua, NginxPlain
from bench.peers.relay import Relay
from bench.peers.twisted_web import TwistedWeb

#: What is captured and what is not is set against this one.
REFERENCE = NginxLua.name
#: What is streamed, against this one.
STREAM_REFERENCE = NginxPlain.name

PEERS: tuple[type[Peer], ...] = (
    *(Companion, CompanionMachine, CompanionInPython, NginxLua, NginxPlain, HAProxy, AiohttpProxy, TwistedWeb),
    *(Mitmproxy, Relay),
)

#: Those of a quick run.
QUICK: tuple[type[Peer], ...] = (Companion, NginxLua, NginxPlain, Relay)
