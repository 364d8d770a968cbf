"""The ``doctor`` command: sends a few dozen requests to a site, analyses the responses and reports the findings."""
