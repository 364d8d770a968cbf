"""One fetch: the HTTP client, and reading what a companion answers, with its proof."""
