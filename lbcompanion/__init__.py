"""lbcompanion: page copies of a web farm, fetched from the very node that made them.

The package is a house of rooms; which room may look into which is told in
``docs/house.rst`` and kept true by ``tests/test_arrows.py``.
"""

__version__ = "0.1.0"
