"""Test tools for this project and for plugins: strategies, contract suites, doubles that fail on purpose."""
