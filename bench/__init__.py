"""Figures: what a captured page costs in CPU, beside other proxies, in one run. ``python -m bench --help``.

Nothing in here is part of the installed package.
"""
