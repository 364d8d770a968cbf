"""The script that runs in the visitor's browser: its source, its configuration, and the form of its fetch addresses."""
