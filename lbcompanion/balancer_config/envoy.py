"""Envoy: the stateful session filter, health checks of ``/readyz`` at each node's admin listener, in YAML."""

from __future__ import annotations

from lbcompanion.balancer_config.comments import (
    comment,
    file_header,
    indented,
    readyz_unreachable,
    sticky_settings,
    text,
)
from lbcompanion.balancer_config.pool import Member, Pool, is_address

#: The sticky cookie, if the nodes' files name none: one that ``auto`` recognises.
COOKIE = "SERVERID"
#: The dialect of this cookie, and the usual name of the file.
DIALECT = "envoy"
FILE_NAME = "envoy.yaml"
_TYPE = "type.googleapis.com/envoy.extensions"


def configuration(pool: Pool) -> str:
    """Return the whole file, in YAML."""
    cookie = pool.cookie or COOKIE
    return text(
        [
            *file_header("Envoy", pool, "Check it: envoy --mode validate -c FILE. Run it: envoy -c FILE."),
            *sticky_settings("envoy", cookie),
            "",
            "static_resources:",
            "  listeners:",
            *indented(_listener(pool, cookie), "  "),
            "  clusters:",
            *indented(_cluster(pool), "  "),
        ]
    )


def _socket(host: str, port: int) -> str:
    return f'socket_address: {{ address: "{host}", port_value: {port} }}'


def _listener(pool: Pool, cookie: str) -> list[str]:
    return [
        "- name: visitors",
        f"  address: {{ {_socket(pool.listen_host or '0.0.0.0', pool.listen_port)} }}",
        "  filter_chains:",
        "  # For https: a transport_socket with the certificate.",
        "  - filters:",
        "    - name: envoy.filters.network.http_connection_manager",
        "      typed_config:",
        f'        "@type": {_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager',
        "        stat_prefix: visitors",
        *comment(
            "X-Forwarded-For gets the visitor's address, X-Forwarded-Proto the scheme; the visitor's own values are "
            "removed. Behind another proxy: xff_num_trusted_hops: 1, and no extension here.",
            "        ",
        ),
        "        use_remote_address: true",
        "        early_header_mutation_extensions:",
        "        - name: envoy.http.early_header_mutation.header_mutation",
        "          typed_config:",
        f'            "@type": {_TYPE}.http.early_header_mutation.header_mutation.v3.HeaderMutation',
        "            mutations:",
        "            - remove: x-forwarded-for",
        "            - remove: x-forwarded-host",
        "        upgrade_configs: [{ upgrade_type: websocket }]",
        "        common_http_protocol_options: { idle_timeout: 75s }",
        "        request_headers_timeout: 10s",
        *indented(_filters(cookie), "        "),
        *indented(_routes(pool), "        "),
    ]


def _filters(cookie: str) -> list[str]:
    return [
        "http_filters:",
        *comment(
            "The sticky cookie: base64 of the node's address in this file. It is set when the node changes. Visitors "
            "of a node that is down go to another one."
        ),
        "- name: envoy.filters.http.stateful_session",
        "  typed_config:",
        f'    "@type": {_TYPE}.filters.http.stateful_session.v3.StatefulSession',
        "    session_state:",
        "      name: envoy.http.stateful_session.cookie",
        "      typed_config:",
        f'        "@type": {_TYPE}.http.stateful_session.cookie.v3.CookieBasedSessionState',
        f"        cookie: {{ name: {cookie}, path: / }}",
        "- name: envoy.filters.http.router",
        f'  typed_config: {{ "@type": {_TYPE}.filters.http.router.v3.Router }}',
    ]


def _routes(pool: Pool) -> list[str]:
    return [
        "route_config:",
        "  virtual_hosts:",
        "  - name: site",
        '    domains: ["*"]',
        "    routes:",
        '    - match: { prefix: "/" }',
        *comment("(No X-LB-Server: Envoy writes the headers before it has chosen the node.)", "      "),
        "      request_headers_to_add:",
        '      - header: { key: x-forwarded-host, value: "%REQ(:AUTHORITY)%" }',
        "        append_action: OVERWRITE_IF_EXISTS_OR_ADD",
        "      route:",
        "        cluster: nodes",
        "        # No limit for the whole response, only for silence.",
        "        timeout: 0s",
        f"        idle_timeout: {pool.answer_seconds}s",
        "        # If a connection to a node fails, try another node; no request is sent twice.",
        "        retry_policy: { retry_on: connect-failure, num_retries: 2 }",
    ]


def _cluster(pool: Pool) -> list[str]:
    kind = (
        "STATIC"
        if all(is_address(host) for m in pool.members for host in (m.host, m.check_host or m.host))
        else "STRICT_DNS"
    )
    path = "/readyz" if pool.readyz_is_reachable else f"{pool.prefix}/whoami"
    return [
        "- name: nodes",
        f"  type: {kind}",
        "  connect_timeout: 5s",
        "  lb_policy: ROUND_ROBIN",
        "  # Never choose a node that is not ready, not even if no node is ready.",
        "  common_lb_config: { healthy_panic_threshold: { value: 0 } }",
        "  typed_extension_protocol_options:",
        "    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:",
        f'      "@type": {_TYPE}.upstreams.http.v3.HttpProtocolOptions',
        f"      common_http_protocol_options: {{ idle_timeout: {pool.keep_seconds}s }}",
        "      explicit_http_config: { http_protocol_options: {} }",
        *indented(readyz_unreachable(pool), "  "),
        "  health_checks:",
        "  - timeout: 2s",
        "    interval: 1s",
        "    unhealthy_threshold: 2",
        "    healthy_threshold: 1",
        f"    http_health_check: {{ path: {path}, host: localhost }}",
        "  load_assignment:",
        "    cluster_name: nodes",
        "    endpoints:",
        "    - lb_endpoints:",
        *(line for member in pool.members for line in _endpoint(pool, member)),
    ]


def _endpoint(pool: Pool, member: Member) -> list[str]:
    lines = [
        f"      # {member.name}",
        "      - endpoint:",
        f"          address: {{ {_socket(member.host, member.port)} }}",
    ]
    if pool.readyz_is_reachable:
        other = (
            ""
            if member.check_host == member.host
            else f"address: {{ {_socket(member.check_host, member.check_port)} }}, "
        )
        lines.append(f"          health_check_config: {{ {other}port_value: {member.check_port} }}")
    return lines
