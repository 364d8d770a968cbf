"""One target a module; see :mod:`fuzz`."""
