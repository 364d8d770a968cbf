"""The copy: what is left out of it, and that nothing else is."""

from __future__ import annotations

from tests.html.cases.case import INJECTED, NONE, PAGE, Case

START, END = "<!-- lbc:exclude -->", "<!-- /lbc:exclude -->"


def kept(name: str, body: str, copy: str, **more: object) -> Case:
    """A body, and what the copy has of it."""
    return Case(name, INJECTED.replace("@@", body), None, PAGE.replace("@@", copy), **more)  # type: ignore[arg-type]


def mask(*selectors: str) -> dict[str, dict[str, tuple[str, ...]]]:
    return {"capture": {"mask": selectors}}


CASES = [
    # Excluded blocks.
    kept("one block", f"a{START}secret{END}b", "ab"),
    kept("several blocks", f"a{START}s{END}b{START}t{END}c", "abc"),
    kept("nested blocks", f"a{START}s{START}t{END}u{END}b", "ab"),
    kept("deeply nested", f"a{START}{START}{START}s{END}{END}t{END}b", "ab"),
    kept("written otherwise", "a<!--lbc:exclude-->s<!--  /LBC:Exclude\n-->b", "ab"),
    kept("an end without a start stays", f"a{END}b", f"a{END}b"),
    kept("with markup in it", f"a{START}<script>'x'</script><p title='</p>'>{END}b", "ab"),
    Case("unclosed: to the end", INJECTED.replace("@@", f"a{START}secret"), None, PAGE[: PAGE.index("@@")] + "a"),
    Case("one closed of two: to the end", INJECTED.replace("@@", f"a{START}s{START}t{END}u"), None, PAGE[: PAGE.index("@@")] + "a"),
    Case("from the head on", INJECTED.replace("<title>", f"{START}<title>"), None, PAGE[: PAGE.index("<title>")]),
    kept("switched off", f"a{START}s{END}b", f"a{START}s{END}b", settings={"capture": {"exclude_blocks": False}}),
    # Masks: those of the defaults.
    kept("a password", "<input type=password value=s>", '<input type=password value="">'),
    kept("a password, quoted", "<input type='password' value='s' id=a>", '<input type=\'password\' value="" id=a>'),
    kept("a password without a value", "<input type=password>", "<input type=password>"),
    kept("a card number", '<input autocomplete="cc-number" value="4111">', '<input autocomplete="cc-number" value="">'),
    kept("a card's date", "<input autocomplete=cc-exp value=1/30>", '<input autocomplete=cc-exp value="">'),
    kept("another input", "<input type=text value=s>", "<input type=text value=s>"),
    kept("nothing matches: byte for byte", "<INPUT Type = text  value=s ><br/>", "<INPUT Type = text  value=s ><br/>"),
    # Masks of one's own.
    kept("contents", "<p class=secret>a<b>c</b></p>d", "<p class=secret></p>d", settings=mask(".secret")),
    kept("a textarea", "<textarea id=t>a</textarea>", "<textarea id=t></textarea>", settings=mask("#t")),
    kept("checked", "<input id=t type=checkbox checked>", "<input id=t type=checkbox>", settings=mask("#t")),
    kept("an option", "<option id=t selected value=a>b</option>", '<option id=t value=""></option>', settings=mask("#t")),
    kept("in a noscript", "<noscript><input id=t value=s></noscript>", '<noscript><input id=t value=""></noscript>',
         settings=mask("#t")),
    kept("several", "<i class=a>1</i><i class=b>2</i>", "<i class=a></i><i class=b></i>", settings=mask(".a", ".b")),
    kept("a child", "<div><i>1</i></div><i>2</i>", "<div><i></i></div><i>2</i>", settings=mask("div > i")),
    kept("none", "<input type=password value=s>", "<input type=password value=s>", settings=mask()),
    kept("a mask and a block", f"<i class=a>1</i>{START}s{END}b", "<i class=a></i>b", settings=mask(".a")),
    kept("a mask within a block", f"{START}<i class=a>1</i>{END}b", "b", settings=mask(".a")),
    kept("a block within a mask", f"<i class=a>{START}1{END}</i>b", "<i class=a></i>b", settings=mask(".a")),
    Case("a mask and a block that overlap: nothing is kept", INJECTED.replace("@@", f"<i class=a>{START}1</i>{END}b"), None, NONE,
         "masks or excluded blocks could not be taken out: an excluded block and a masked element overlap",
         settings=mask(".a")),
    # What the visitor gets is not touched by any of it.
    kept("the copy is the page before injection", "plain", "plain"),
]  # fmt: skip
