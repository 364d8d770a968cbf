"""The command ``init``: asks what a farm looks like, and writes files that run without an editor."""

from __future__ import annotations

import re
import secrets
import shutil
import sys
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from lbcompanion import balancer_config, checks, config
from lbcompanion.balancer_config.pool import is_loopback
from lbcompanion.cli.arguments import HOST, host_and_port
from lbcompanion.config import systemd_units, templates
from lbcompanion.config.templates import Address, Starter, StarterNode
from lbcompanion.errors import InvalidValue

_UPSTREAM = Address("127.0.0.1", 8000)
_COMPANION_PORT = 8080
_INTAKE_PORT = 9200
_NODE = re.compile(r"(?:(?P<name>[^=]*)=)?(?P<host>[^\[\]:]+|\[[^\]]+\])(?::(?P<port>[0-9]{1,5}))?", re.ASCII)


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--nodes",
    "nodes_text",
    metavar="NODE,NODE...",
    help="The nodes: NAME, HOST or NAME=HOST[:PORT]; HOST:PORT is the companion for balancer and crawler.",
)
@click.option("--origin", metavar="URL", help="The site as visitors name it: https://www.example.com")
@click.option(
    "--upstream",
    "upstreams",
    multiple=True,
    metavar="[NODE=]HOST:PORT",
    help="The application, as its companion reaches it.  [default: 127.0.0.1:8000]",
)
@click.option(
    "--listen", metavar="[HOST:]PORT", help="Where each companion listens.  [default: its port in --nodes, or 8080]"
)
@click.option("--crawler", metavar="HOST[:PORT]", help="Where the nodes reach the crawler.  [default: 127.0.0.1:9200]")
@click.option(
    "--balancer",
    type=click.Choice(list(balancer_config.PRODUCTS)),
    help="Also write a configuration of this balancer, and its cookie into the other files.",
)
@click.option(
    "--balancer-listen", metavar="[HOST:]PORT", default="80", show_default=True, help="Where the balancer listens."
)
@click.option(
    "--balancer-address",
    "balancers",
    multiple=True,
    metavar="ADDRESS",
    help="The balancer's address or network, if it is on another machine than a node; may be repeated.",
)
@click.option("--systemd", "with_units", is_flag=True, help="Also write systemd units, and put state below /var/lib.")
def init(
    folder: Path,
    nodes_text: str | None,
    origin: str | None,
    upstreams: tuple[str, ...],
    listen: str | None,
    crawler: str | None,
    balancer: str | None,
    balancer_listen: str,
    balancers: tuple[str, ...],
    with_units: bool,
) -> None:
    """Write configurations for nodes and crawler, and a fresh secret, into DIR.

    On a terminal, the command asks for the most important options that are not given.
    """
    ask = _ask if (nodes_text is None or origin is None) and _is_terminal() else _default
    nodes_text = nodes_text or _required(ask, "--nodes", "The nodes, separated by commas (web1=10.0.0.1,web2=10.0.0.2)")
    origin = _origin(origin or _required(ask, "--origin", "The site's URL, as visitors name it"))
    upstreams = upstreams or tuple(filter(None, [ask("The application at each node", str(_UPSTREAM))]))
    crawler = crawler or ask("The crawler's address for the nodes", f"127.0.0.1:{_INTAKE_PORT}")
    if balancer is None and ask is _ask:
        choices = click.Choice(["none", *balancer_config.PRODUCTS])
        balancer = click.prompt("Write a configuration for a balancer", default="none", type=choices)
        balancer = None if balancer == "none" else balancer
    starter = Starter(
        nodes=_nodes(nodes_text, upstreams, listen),
        origin=origin,
        crawler=_address(crawler, _INTAKE_PORT, "--crawler"),
        balancers=[_network(each) for each in balancers],
        dialect=balancer_config.PRODUCTS[balancer].DIALECT if balancer else "auto",
        cookies=[balancer_config.PRODUCTS[balancer].COOKIE] if balancer else [],
        as_service=with_units,
    )
    files = templates.starter_files(starter, secrets.token_urlsafe(32))
    if balancer:
        name = balancer_config.PRODUCTS[balancer].FILE_NAME
        files[name] = _balancer_file(balancer, starter, files, host_and_port(balancer_listen, "--balancer-listen"))
    if with_units:
        files |= systemd_units.units(_program(), [node.listen.port for node in starter.nodes], starter.crawler.port)
    for path in _write(folder, files):
        click.echo(str(path))
    for note in _notes(starter, balancer):
        click.echo(f"Note: {note}", err=True)
    if with_units:
        first = starter.nodes[0].name
        _show_commands(f"On {first} (on the others with their names)", systemd_units.node_commands(str(folder), first))
        _show_commands("On the crawler's machine", systemd_units.crawler_commands(str(folder)))


def _show_commands(where: str, commands: Sequence[str]) -> None:
    click.echo(f"\n{where}, as root:", err=True)
    for command in commands:
        click.echo(f"  {command}", err=True)


def _notes(starter: Starter, balancer: str | None) -> list[str]:
    """Return what a farm of several machines probably needs besides the given options."""
    if not any(node.address is not None and not is_loopback(node.address.host) for node in starter.nodes):
        return []
    notes = []
    if is_loopback(starter.crawler.host):
        notes.append(
            f"the nodes send notices to {starter.crawler}, their own machine; if the crawler runs on another "
            "machine, give its address by --crawler"
        )
    if balancer and not starter.balancers:
        notes.append(
            "forwarding headers are believed from each node's own machine only; if the balancer runs on another "
            "machine, give its address by --balancer-address"
        )
    return notes


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _ask(question: str, default: str) -> str:
    return str(click.prompt(question, default=default or None))


def _default(_question: str, default: str) -> str:
    return default


def _required(ask: Callable[[str, str], str], option: str, question: str) -> str:
    if ask is _default:
        raise click.MissingParameter(param_type="option", param_hint=option)
    return ask(question, "")


def _origin(text: str) -> str:
    try:
        checks.origin(empty=False)(text, Path())
    except InvalidValue as error:
        raise click.BadParameter(f"{text}; allowed: {error.allowed}", param_hint="--origin") from None
    return text


def _network(text: str) -> str:
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        allowed = "an IP address or a network, such as 10.0.0.5 or 10.0.0.0/24"
        raise click.BadParameter(f"{text}; allowed: {allowed}", param_hint="--balancer-address") from None


def _address(text: str, port: int, option: str) -> Address:
    """Read ``HOST`` or ``HOST:PORT``."""
    if HOST.fullmatch(text):
        return Address(text.strip("[]"), port)
    return Address(*host_and_port(text, option, host_required=True))


def _nodes(text: str, upstreams: Sequence[str], listen: str | None) -> list[StarterNode]:
    """Read ``--nodes`` with ``--upstream`` and ``--listen``."""
    given = [_node(each.strip(), number) for number, each in enumerate(text.split(","), 1) if each.strip()]
    names = [name for name, _, _ in given]
    _check_names(names)
    own = Address(*host_and_port(listen, "--listen")) if listen else None
    of_node = _upstreams(upstreams, names)
    nodes = []
    for name, host, port in given:
        companion_port = port or (own.port if own else _COMPANION_PORT)
        listener = own or Address("", companion_port)
        address = Address(host, companion_port) if host else None
        nodes.append(StarterNode(name, address, of_node.get(name, of_node.get("", _UPSTREAM)), listener))
    return templates.with_admin_ports(nodes)


def _node(text: str, number: int) -> tuple[str, str, int]:
    """Read one node: its name, its host (empty if that is unknown), its port (0 if that is not given)."""
    allowed = "NAME, HOST or NAME=HOST[:PORT], an IPv6 address in brackets"
    found = _NODE.fullmatch(text)
    host = found["host"] if found else ""
    port = int(found["port"] or 0) if found else 0
    if found is None or port > 65535 or (found["port"] and port == 0):
        raise click.BadParameter(f'"{text}"; allowed: {allowed}', param_hint="--nodes")
    if found["name"] is None and "." not in host and "[" not in host:
        return host, host if port else "", port
    if not HOST.fullmatch(host):
        raise click.BadParameter(f'"{text}"; allowed: {allowed}', param_hint="--nodes")
    host = host.strip("[]")
    return found["name"] if found["name"] is not None else _name_of(host, number), host, port


def _name_of(host: str, number: int) -> str:
    """Return a node's name for its host: the first label of a host name, or ``n1`` for the first address."""
    try:
        ip_address(host)
    except ValueError:
        return host.partition(".")[0][:32]
    return f"n{number}"


def _check_names(nodes: list[str]) -> None:
    wrong = [name for name in nodes if not checks.is_node_name(name) or name.lower() == "crawler"]
    if wrong or not nodes or len(set(nodes)) < len(nodes):
        shown = wrong[0] if wrong else ",".join(nodes)
        raise click.BadParameter(
            f'"{shown}"; allowed: different names of 1 to 32 letters, digits, _ or -, except "crawler"; if two hosts '
            "would get the same name, give one a name: NAME=HOST",
            param_hint="--nodes",
        )


def _upstreams(texts: Sequence[str], names: Sequence[str]) -> dict[str, Address]:
    """Read ``--upstream``: a node's name, or empty for all others, to the application's address."""
    found: dict[str, Address] = {}
    for text in texts:
        name, equals, address = text.rpartition("=")
        if (equals and name not in names) or name in found:
            allowed = f"each of {', '.join(names)} once, and one without a name for the others"
            raise click.BadParameter(f"{text}; allowed: {allowed}", param_hint="--upstream")
        found[name] = Address(*host_and_port(address, "--upstream", host_required=True))
    return found


def _balancer_file(product: str, starter: Starter, files: dict[str, str], listen: tuple[str, int]) -> str:
    """Generate the balancer's configuration from the nodes' files, as ``balancer-config`` does."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        templates.write_new(folder, files)
        names = [f"{node.name}.toml" for node in starter.nodes]
        nodes = [(name, config.read_node(folder / name)) for name in names]
    addresses = {node.name: str(node.address) for node in starter.nodes if node.address is not None}
    pool = balancer_config.pool_of(nodes, listen, addresses)
    return balancer_config.configuration(product, pool)


def _program() -> str:
    """Return the whole path of ``lbcompanion``, for the units."""
    beside = Path(sys.executable).with_name("lbcompanion")
    return str(beside) if beside.exists() else shutil.which("lbcompanion") or "/usr/local/bin/lbcompanion"


def _write(folder: Path, files: dict[str, str]) -> list[Path]:
    try:
        return templates.write_new(folder, files)
    except FileExistsError as error:
        raise click.ClickException(f"{error.args[0]} is there already; nothing was written") from None
    except OSError as error:
        raise click.ClickException(f"{folder} cannot be written to: {error.strerror}") from None
