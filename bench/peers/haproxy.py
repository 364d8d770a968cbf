"""HAProxy as a plain proxy, one thread: what passing on costs in the most frugal of proxies."""

from __future__ import annotations

import subprocess

from bench.peers.interface import Peer, program

# Connections kept on both sides and shared among visitors; no log.
_CONFIGURATION = """\
global
    nbthread 1
    maxconn 2000
defaults
    mode http
    timeout connect 5s
    timeout client 75s
    timeout server 60s
    timeout http-keep-alive 75s
    option http-keep-alive
    http-reuse always
frontend visitors
    bind 127.0.0.1:{port}
    option forwardfor
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    default_backend application
backend application
    server n1 127.0.0.1:{origin_port}{options}
"""


class HAProxy(Peer):
    """Passes on."""

    name = "HAProxy, plain proxying"
    tagged = False

    @classmethod
    def missing(cls) -> str:
        """HAProxy itself."""
        return "" if program("haproxy") else "the program haproxy"

    @classmethod
    def version(cls) -> str:
        """The version that the program prints."""
        output = subprocess.run([program("haproxy") or "", "-v"], capture_output=True, text=True, check=False).stdout
        return output.split()[2] if len(output.split()) > 2 else ""

    def server_options(self) -> str:
        """Return further options of the line ``server``, each after a space."""
        return ""

    def command(self) -> list[str]:
        """In the foreground, without a master."""
        text = _CONFIGURATION.format(port=self.port, origin_port=self.origin_port, options=self.server_options())
        (self.folder / "haproxy.cfg").write_text(text)
        found = program("haproxy")
        assert found is not None
        return [found, "-db", "-f", "haproxy.cfg"]
