"""Command lines that make each balancer's program check or run a configuration."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.support.programs import need_program

#: ``command(file, folder for what it writes)``.
Command = Callable[[Path, Path], Sequence[str]]


def _nginx(file: Path, folder: Path, *more: str) -> list[str]:
    # Where it keeps temporary files is the distribution's business, and not writable for everybody.
    here = "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in _NGINX_TEMPORARY)
    file.write_text(file.read_text().replace("http {\n", f"http {{\n    access_log off;\n{here}", 1))
    # Started by root, its workers would be nobody, who may not write to a test's folder.
    user = "user root; " if os.getuid() == 0 else ""
    itself = f"daemon off; {user}pid {folder}/nginx.pid; error_log stderr warn;"
    return [need_program("nginx"), "-p", str(folder), "-e", "stderr", "-g", itself, "-c", str(file), *more]


_NGINX_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def _apache(file: Path, folder: Path, *more: str) -> list[str]:
    itself = [f"PidFile {folder}/apache.pid", f"DefaultRuntimeDir {folder}", f"Mutex file:{folder}"]
    return [
        *(need_program("apache2"), "-DFOREGROUND", "-f", str(file), *more),
        *(part for line in itself for part in ("-C", line)),
    ]


def _varnish(file: Path, folder: Path) -> list[str]:
    # Where it serves stands on its command line; the file beside it says where.
    port = (folder / "varnish.port").read_text()
    itself = ["-F", "-j", "none", "-n", str(folder / "varnish"), "-s", "malloc,8m", "-p", "vcc_allow_inline_c=off"]
    return [need_program("varnishd"), *itself, "-a", f"127.0.0.1:{port}", "-f", str(file)]


def _caddy(does: str, file: Path, *more: str) -> list[str]:
    return [need_program("caddy"), does, "--adapter", "caddyfile", "--config", str(file), *more]


CHECKS: Mapping[str, Command] = {
    "haproxy": lambda file, folder: [need_program("haproxy"), "-c", "-f", str(file)],
    "nginx": lambda file, folder: _nginx(file, folder, "-t"),
    "apache": lambda file, folder: _apache(file, folder, "-t"),
    "caddy": lambda file, folder: _caddy("validate", file),
    "envoy": lambda file, folder: [need_program("envoy"), "--mode", "validate", "-l", "warn", "-c", str(file)],
    "varnish": lambda file, folder: [need_program("varnishd"), "-C", "-j", "none", "-n", str(folder), "-f", str(file)],
}
RUNS: Mapping[str, Command] = {
    "haproxy": lambda file, folder: [need_program("haproxy"), "-db", "-f", str(file)],
    "nginx": _nginx,
    "apache": _apache,
    # Its admin listener would meet another Caddy's on this machine.
    "caddy": lambda file, folder: ["env", "CADDY_ADMIN=off", f"HOME={folder}", *_caddy("run", file)],
    "envoy": lambda file, folder: [
        *(need_program("envoy"), "--use-dynamic-base-id", "--concurrency", "1", "-l", "warn", "-c", str(file))
    ],
    "traefik": lambda file, folder: [need_program("traefik"), f"--configFile={file}"],
    "varnish": _varnish,
}
