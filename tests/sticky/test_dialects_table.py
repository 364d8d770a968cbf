"""The manual has every dialect, as it is."""

from tests.sticky.dialects_table import FILE, text


def test_the_manuals_table_is_the_registrys() -> None:
    assert FILE.read_text() == text(), "python -m tests.sticky.dialects_table writes it anew"
