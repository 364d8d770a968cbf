"""A long run of mixed requests against one companion; does memory or do descriptors grow? ``python -m bench.soak``."""
