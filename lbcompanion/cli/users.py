"""Commands for the users of the admin listener and its audit log: ``user`` and ``audit``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from lbcompanion import config
from lbcompanion.cli.arguments import config_option, json_option
from lbcompanion.crawler.access.roles import USER_ROLES

if TYPE_CHECKING:
    from lbcompanion.crawler.user_command import UserCommands

_role_option = click.option(
    "--role",
    required=True,
    type=click.Choice([role.value for role in USER_ROLES]),
    help="A viewer sees; an operator erases too.",
)
_stdin_option = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input: its first line."
)


def _commands(file: str) -> UserCommands:
    settings = config.read_crawler(file)
    from lbcompanion.crawler.user_command import UserCommands

    return UserCommands(settings, lambda text: click.echo(f"lbcompanion: {text}", err=True))


@click.group()
def user() -> None:
    """Change the users of the crawler's dashboard and API. A running crawler notices each change at once."""


@user.command()
@click.argument("name")
@_role_option
@click.option("--token", "with_token", is_flag=True, help="For a program: make an access token instead of a password.")
@_stdin_option
@config_option
def add(name: str, role: str, with_token: bool, password_stdin: bool, file: str) -> None:
    """Add a user. The password is asked for; an access token is shown once."""
    if with_token and password_stdin:
        raise click.UsageError("either --token or --password-stdin")
    commands = _commands(file)
    commands.check_new(name)
    token = commands.add(name, role, None if with_token else _password(password_stdin))
    click.echo(f"{commands.path}: added {name}, {role}", err=bool(token))
    if token:
        click.echo(token)


@user.command("list")
@config_option
@json_option
def list_users(file: str, as_json: bool) -> None:
    """List the users."""
    users = _commands(file).users()
    if as_json:
        listed = [
            {"name": each.name, "role": each.role, "password": each.password is not None, "token": bool(each.token)}
            for each in users
        ]
        click.echo(json.dumps({"users": listed}))
        return
    for each in users:
        parts = [name for name, has in (("password", each.password), ("token", each.token)) if has]
        click.echo(f"{each.name}  {each.role}  {', '.join(parts) or 'no way to log in'}")


@user.command()
@click.argument("name")
@config_option
def remove(name: str, file: str) -> None:
    """Remove a user; the user's sessions and access token end at once."""
    commands = _commands(file)
    commands.remove(name)
    click.echo(f"{commands.path}: removed {name}")


@user.command("set-password")
@click.argument("name")
@_stdin_option
@config_option
def set_password(name: str, password_stdin: bool, file: str) -> None:
    """Set another password; the user's sessions end at once."""
    commands = _commands(file)
    commands.check_known(name)
    commands.set_password(name, _password(password_stdin))
    click.echo(f"{commands.path}: {name} has another password")


@user.command("set-token")
@click.argument("name")
@config_option
def set_token(name: str, file: str) -> None:
    """Make an access token, which is shown once. The user's old one ends at once."""
    commands = _commands(file)
    commands.check_known(name)
    click.echo(commands.set_token(name))


@user.command("set-role")
@click.argument("name")
@_role_option
@config_option
def set_role(name: str, role: str, file: str) -> None:
    """Set another role."""
    commands = _commands(file)
    commands.set_role(name, role)
    click.echo(f"{commands.path}: {name} is {role} now")


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask for the password; use --password-stdin or --token")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt="The same again"))


@click.command()
@config_option
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many lines.")
@click.option("--user", "name", default="", metavar="NAME", help="Only what this user did.")
@click.option("--token", default="", metavar="TOKEN", help="Only what was done with the recording of this token.")
@json_option
def audit(file: str, limit: int, name: str, token: str, as_json: bool) -> None:
    """Show the audit log of the crawler's queue, newest first: who looked at, exported or erased what."""
    settings = config.read_crawler(file)
    from lbcompanion.crawler.admin.audit_api import audit_line
    from lbcompanion.crawler.user_command import audit_lines

    lines = [audit_line(row) for row in audit_lines(settings, limit, {"user": name, "token": token})]
    if as_json:
        click.echo(json.dumps({"audit": lines}))
        return
    for line in lines:
        who = line["user"] or "unknown"
        words = (line["at"], who, line["how"] or "", line["address"] or "", line["action"], line["result"])
        more = [each for each in (line["token"], line["visitor"], line["detail"]) if each]
        click.echo("  ".join((*words, *more)))
