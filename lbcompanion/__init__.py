"""lbcompanion: page copies of a web farm, fetched from the node that made them.

``docs/house.rst`` describes the packages and their allowed imports;
``tests/test_arrows.py`` enforces them.
"""

__version__ = "0.1.0"
