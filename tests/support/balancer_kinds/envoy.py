"""Envoy, its nodes in a file that it watches."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.support.balancer_kinds.kind import Kind

_ENVOY = """node: {{ id: front, cluster: front }}
static_resources:
  listeners:
  - name: visitors
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {type}.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: visitors
          http_filters:
{filters}
          - name: envoy.filters.http.router
            typed_config: {{ "@type": {type}.filters.http.router.v3.Router }}
          route_config:
            virtual_hosts:
            - name: site
              domains: ["*"]
              routes:
              - match: {{ prefix: "/" }}
                route:
                  cluster: nodes
                  timeout: 0s
                  retry_policy: {{ retry_on: "connect-failure,reset-before-request", num_retries: 2 }}
{route}
  clusters:
  - name: nodes
    type: EDS
    eds_cluster_config:
      eds_config: {{ resource_api_version: V3, path_config_source: {{ path: {nodes} }} }}
    lb_policy: {policy}
    common_lb_config:
      override_host_status: {{ statuses: [UNKNOWN, HEALTHY, DEGRADED, DRAINING] }}
      ignore_new_hosts_until_first_hc: true
    # Health is asked for at another port, which answers for the new address as well: the old one would stay for good.
    ignore_health_on_host_removal: true
    health_checks:
    - {{ timeout: 10s, interval: 0.3s, no_traffic_interval: 0.3s, unhealthy_threshold: 2, healthy_threshold: 1,
        http_health_check: {{ path: /readyz, host: localhost }} }}
"""
_NODES = """resources:
- "@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
  cluster_name: nodes
  endpoints:
  - lb_endpoints:
"""
_NODE = """    - health_status: {health}
      endpoint:
        address: {{ socket_address: {{ address: 127.0.0.1, port_value: {at} }} }}
        health_check_config: {{ port_value: {admin} }}
"""
_STATEFUL = """          - name: envoy.filters.http.stateful_session
            typed_config:
              "@type": {type}.filters.http.stateful_session.v3.StatefulSession
              session_state:
                name: envoy.http.stateful_session.cookie
                typed_config:
                  "@type": {type}.http.stateful_session.cookie.v3.CookieBasedSessionState
                  cookie: {{ name: {cookie}, path: /, ttl: 3600s }}"""
_TYPE = "type.googleapis.com/envoy.extensions"


def _write_nodes(
    folder: Path, nodes: Mapping[str, int], admins: Mapping[str, int], draining: Collection[str] = ()
) -> Path:
    """Put the file in the place of the one before: what it watches for."""
    half, file = folder / "envoy-nodes.half", folder / "envoy-nodes.yaml"
    one = [
        _NODE.format(at=at, admin=admins[name], health="DRAINING" if name in draining else "UNKNOWN")
        for name, at in nodes.items()
    ]
    half.write_text(_NODES + "".join(one))
    half.rename(file)
    return file


@frozen
class Envoy(Kind):
    """Envoy."""

    def drain(self, farm: Any, node: str, on: bool) -> None:
        """By its state in the file."""
        _write_nodes(farm.folder, farm.public, farm.admin, (node,) if on else ())

    def readdress(self, farm: Any, node: str) -> None:
        """In the file."""
        _write_nodes(farm.folder, farm.public, farm.admin)


def envoy(policy: str, stateful: str = "", route: str = "", no_drain: str = "") -> Envoy:
    """Envoy with this ``lb_policy``, a cookie for stateful sessions, and what its route says besides."""

    def text(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> str:
        return _ENVOY.format(
            type=_TYPE,
            port=port,
            filters=_STATEFUL.format(type=_TYPE, cookie=stateful) if stateful else "",
            route=f"                  {route}" if route else "",
            policy=policy,
            nodes=_write_nodes(folder, nodes, admins),
        )

    return Envoy("envoy", text, no_drain)


_NO_DRAIN = "a node that drains leaves the ring, and its visitors with it"

STATEFUL = envoy("ROUND_ROBIN", stateful="stuck")
RING = envoy("RING_HASH", route="hash_policy: [{ cookie: { name: ring, ttl: 3600s, path: / } }]", no_drain=_NO_DRAIN)
MAGLEV = envoy("MAGLEV", route="hash_policy: [{ cookie: { name: ring, ttl: 3600s, path: / } }]", no_drain=_NO_DRAIN)
