"""Dialects from other packages, as drop-ins under ``twisted/plugins``; see docs/writing-a-dialect.rst.

They are loaded once, before a configuration is read, so that a configuration can name them.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen
from twisted.plugin import IPlugin, getPlugins
from twisted.python.reflect import namedAny
from zope.interface import Attribute, Interface, implementer

from lbcompanion.errors import CompanionError, ConfigError
from lbcompanion.sticky import dialects
from lbcompanion.sticky.dialects import Dialect
from lbcompanion.sticky.dialects.old_names import with_new_names

_FOLDER = "twisted/plugins"


class IDialectPlugin(Interface):
    """The interface of a drop-in, in addition to ``IPlugin``."""

    location = Attribute("The dialect's location as package.module.NAME; the module is imported when it is loaded.")


@implementer(IPlugin, IDialectPlugin)
@frozen
class DialectPlugin:
    """Announces a dialect of another package; define one at the top level of a drop-in.

    :ivar location: the dialect's full name: ``acme.balancer.DIALECT``.
    """

    location: str


def load_dialects(plugins: Iterable[IDialectPlugin] | None = None) -> tuple[Dialect, ...]:
    """Load and register the dialects of all drop-ins, and return them.

    :param plugins: for tests; None means those that Twisted finds on the import path.
    :raises ConfigError: if a plugin cannot be loaded, is not a dialect, or has the name of another dialect.
    """
    found = getPlugins(IDialectPlugin) if plugins is None else plugins
    loaded = tuple(_load(location) for location in sorted({plugin.location for plugin in found}))
    try:
        dialects.use_plugin_dialects(loaded)
    except CompanionError as error:
        raise ConfigError(_FOLDER, "", f"refused: {error}", "dialects with names of their own") from None
    return loaded


def _load(location: str) -> Dialect:
    try:
        dialect = with_new_names(namedAny(location))
    except Exception as error:  # whatever a foreign module raises when it is imported
        raise ConfigError(_FOLDER, location, f"not loadable ({error!r})", "the full name of a dialect") from error
    if not isinstance(dialect, Dialect):
        allowed = "an object with all that lbcompanion.sticky.dialects.Dialect asks for"
        raise ConfigError(_FOLDER, location, "no dialect", allowed)
    return dialect
