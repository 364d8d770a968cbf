"""The commands that ``twistd --help`` lists. Literal on purpose: Twisted caches a drop-in by its own date."""

from twisted.application.service import ServiceMaker

companion = ServiceMaker(
    "lbcompanion node",
    "lbcompanion.run.tap",
    "A companion: reverse proxy beside a node that keeps copies of its pages.",
    "lbcompanion",
)

crawler = ServiceMaker(
    "lbcompanion crawler",
    "lbcompanion.run.crawler_tap",
    "The crawler that fetches page copies from their own nodes and archives them.",
    "lbcompanion-crawler",
)
