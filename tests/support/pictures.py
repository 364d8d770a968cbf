"""Pictures of pages, compared by a browser."""

from __future__ import annotations

import base64
from typing import Any

_COMPARE = """async ([first, second]) => {
  const read = async text => {
    const image = new Image();
    image.src = "data:image/png;base64," + text;
    await image.decode();
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, image.width, image.height);
  };
  const [a, b] = [await read(first), await read(second)];
  if (a.width !== b.width || a.height !== b.height) return 1;
  let other = 0;
  for (let at = 0; at < a.data.length; at += 4) {
    const far = [0, 1, 2].some(part => Math.abs(a.data[at + part] - b.data[at + part]) > 24);
    other += far ? 1 : 0;
  }
  return other / (a.width * a.height);
}"""


def picture(page: Any) -> bytes:
    """What a page shows in its window, without a blinking caret."""
    return bytes(page.screenshot(animations="disabled", caret="hide"))


def difference(page: Any, first: bytes, second: bytes) -> float:
    """The part of the pixels that clearly differ, from 0 to 1.

    :param page: any page that may run scripts.
    """
    return float(page.evaluate(_COMPARE, [base64.b64encode(each).decode() for each in (first, second)]))
