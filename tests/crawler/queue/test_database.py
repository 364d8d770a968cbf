from __future__ import annotations

import pytest

from lbcompanion.crawler.queue.backlog import Backlog
from lbcompanion.crawler.queue.database import BacklogError, Database, open_engine
from tests.support.arrivals import arrival


def test_errors_tell_no_values() -> None:
    backlog = Backlog(Database(open_engine("sqlite://")))
    with pytest.raises(BacklogError) as caught:
        backlog.add([arrival("t", cookies={"SRV": "told-to-nobody"})], 1.0)
    assert "told-to-nobody" not in str(caught.value)
    assert caught.value.__cause__ is None
