"""The crawler: takes notices, brings each fetch to the node that made the page, and archives it."""
