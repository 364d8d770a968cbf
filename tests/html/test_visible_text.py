from __future__ import annotations

import pytest

from lbcompanion.html.visible_text import MAX_READ_BYTES, page_text, visible_lines


@pytest.mark.parametrize(
    ("page", "lines"),
    [
        ("<h1>Cart</h1><p>Two <b>red</b>\n apples</p>", ["Cart", "Two red apples"]),
        ("<script>'<p>no'</script><style>p{}</style><template><p>no</template>yes", ["yes"]),
        ("<script>never ends", []),
        ("a<br>b<!-- no -->c<td>d</td> <td>  </td>", ["a", "bc", "d"]),
        ("<p title='<b>'>1 &lt; 2 &amp; 3&nbsp;&euro;</p>", ["1 < 2 & 3 €"]),
        ("<title>T</title><textarea>x</textarea>", ["T", "x"]),
        ("a < b <", ["a < b <"]),
        ("", []),
    ],
)
def test_what_a_page_shows(page: str, lines: list[str]) -> None:
    assert visible_lines(page) == lines


def test_a_page_is_decoded() -> None:
    assert page_text(b"caf\xe9", "text/html; charset=iso-8859-1") == "café"
    assert len(page_text(b"x" * (MAX_READ_BYTES + 9), "text/html")) == MAX_READ_BYTES
