"""Tells lbcompanion of ACME's dialect. There must be no __init__.py in this folder, nor in the one above."""

from lbcompanion.plugins import DialectPlugin

acme = DialectPlugin("acme_balancer.dialect.DIALECT")
