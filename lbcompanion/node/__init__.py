"""The companion beside a node: reverse proxy, page copies, notices."""
