"""Looking at a site from outside: asking it a few dozen times, judging what was seen, and telling it."""
