"""Pages, settings and the expected results, as data; run by :mod:`tests.html.test_cases`."""
