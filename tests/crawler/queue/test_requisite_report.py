from __future__ import annotations

from lbcompanion.crawler.queue.requisite_report import (
    MAX_LIST_CHARS,
    MissingRequisite,
    RequisiteReport,
    UnsearchedText,
    dump_report,
    load_report,
    without_erased,
)


def test_what_is_written_is_read() -> None:
    report = RequisiteReport(3).with_missing([MissingRequisite("http://h/x", "status 404")])
    missing = [{"url": "http://h/x", "reason": "status 404"}]
    assert load_report(dump_report(report)) == {"wanted": 3, "archived": 2, "missing": missing}
    assert load_report(None) is None


def test_erased_files_are_not_archived() -> None:
    report = dump_report(RequisiteReport(9, (MissingRequisite("http://h/x", "status 404"),), erased=2))
    for text, archived, erased in ((report, 6, 2), (without_erased(report, 1), 5, 3)):
        read = load_report(text)
        assert read is not None
        assert (read["wanted"], read["archived"], read["erased"]) == (9, archived, erased)
    assert "erased" not in dump_report(RequisiteReport(1))


def test_the_list_is_bounded_and_the_counts_are_not() -> None:
    report = RequisiteReport(
        1000, tuple(MissingRequisite(f"http://h/{'x' * 1000}{n}", "status 404") for n in range(900))
    )
    read = load_report(dump_report(report))
    assert read is not None
    assert (read["wanted"], read["archived"]) == (1000, 100)
    assert 100 < len(read["missing"]) <= MAX_LIST_CHARS / 1000


def test_what_was_not_searched_is_written() -> None:
    report = RequisiteReport(0, (), (UnsearchedText("http://h/x", "too long"),))
    assert load_report(dump_report(report)) == {
        "wanted": 0,
        "archived": 0,
        "missing": [],
        "unsearched": [{"url": "http://h/x", "reason": "too long"}],
    }
    assert "unsearched" not in dump_report(RequisiteReport(1))
