"""What must come out of what goes in, as data; run by :mod:`tests.html.test_cases`."""
