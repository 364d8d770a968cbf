"""Finds dialects: those in the tree, and those from plugins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from lbcompanion.errors import CompanionError
from lbcompanion.sticky.dialects.interface import Dialect

#: What configuration says where each cookie shall be judged by itself. No dialect.
AUTO = "auto"


def catalogue(dialects: Iterable[Dialect]) -> Mapping[str, Dialect]:
    """Dialects by name.

    :raises CompanionError: where two have one name, or one is called ``auto``.
    """
    found: dict[str, Dialect] = {}
    for dialect in dialects:
        if dialect.name == AUTO:
            raise CompanionError(f"a dialect is named {AUTO}, which says that all are asked")
        if dialect.name in found:
            raise CompanionError(f"two dialects are named {dialect.name}, and only one can be")
        found[dialect.name] = dialect
    return MappingProxyType(found)


class Registry:
    """The dialects of one process.

    :param built_in: those in the tree, the most telling first, the one that reads anything last.
    :ivar known: all, in the order in which they are asked.
    :ivar names: the same by name.
    """

    def __init__(self, built_in: tuple[Dialect, ...]) -> None:
        self._built_in = built_in
        self.known = built_in
        self.names = catalogue(built_in)

    def use_plugin_dialects(self, plugin_dialects: tuple[Dialect, ...]) -> None:
        """Add the plugins' dialects to the built-in ones. They are asked first.

        An operator installs a plugin on purpose, so it knows the site's cookies better than the built-in dialects.

        :raises CompanionError: as :func:`catalogue` does; then nothing has changed.
        """
        self.names = catalogue((*self._built_in, *plugin_dialects))
        self.known = (*plugin_dialects, *self._built_in)
