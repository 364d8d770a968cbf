"""The files of the demo's farm."""

from __future__ import annotations

from lbcompanion import config
from lbcompanion.demo.configs import SECRET_FILE, FarmPlan, NodePlan, crawler_config, node_config

PLAN = FarmPlan((NodePlan("n1", 8001, 8002, 8003),), 8000, 9200, 9201)


def test_the_files_are_good_configurations(tmp_path):
    (tmp_path / SECRET_FILE).write_text("s" * 43)
    (tmp_path / "n1.toml").write_text(node_config(PLAN, PLAN.nodes[0]))
    (tmp_path / "crawler.toml").write_text(crawler_config(PLAN, 25))
    node = config.read_node(tmp_path / "n1.toml")
    crawler = config.read_crawler(tmp_path / "crawler.toml")
    assert (node.node.upstream, node.crawler.intake) == ("tcp:127.0.0.1:8001", ("http://127.0.0.1:9200",))
    assert crawler.sites["main"].origin == "http://127.0.0.1:8000"
    assert node.node.secret == crawler.crawler.secret
