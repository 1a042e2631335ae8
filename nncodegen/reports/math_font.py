"""The font of formulas: STIX Two Math, of which a page holds the signs that it shows.

A browser sets formulas by the table of sizes in a mathematical font. Where there is none, limits sit on their signs and
bars strike letters. STIX Two Math comes with the package ziamath, under the SIL Open Font License 1.1, which allows
parts of it in documents; they keep its copyright and its license.
"""

from __future__ import annotations

import base64
import html
import re
from functools import lru_cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

FAMILY = "formulas"
"""The name of the font in a page, where no installed font has it."""

_COPYRIGHT, _LICENSE, _LICENSE_ADDRESS = 0, 13, 14
"""The numbers of names in a font."""


def font_file() -> Path:
    """Return the path of the whole font. Raises ModuleNotFoundError if the package is not installed."""
    package = find_spec("ziamath")
    if package is None or package.submodule_search_locations is None:
        raise ModuleNotFoundError("No module named 'ziamath'", name="ziamath")
    return Path(package.submodule_search_locations[0]) / "fonts" / "STIXTwoMath-Regular.ttf"


def font_of(page: str) -> bytes:
    """Return a font in the format WOFF with the signs of all formulas in a page, of 20 to 80 kB."""
    texts = (re.sub(r"<[^>]*>", "", formula) for formula in re.findall(r"<math.*?</math>", page, re.DOTALL))
    return _subset("".join(sorted(set(html.unescape("".join(texts))))))


def face(page: str) -> str:
    """Return the CSS that gives a page the font of its formulas; it is empty for a page without any."""
    if "<math" not in page:
        return ""
    data = base64.b64encode(font_of(page)).decode()
    return f'@font-face {{ font-family: {FAMILY}; src: url("data:font/woff;base64,{data}") format("woff"); }}'


@lru_cache(maxsize=8)
def _subset(characters: str) -> bytes:
    options = subset.Options(
        flavor="woff", layout_features=["*"], name_IDs=[_COPYRIGHT, _LICENSE, _LICENSE_ADDRESS], notdef_outline=True
    )
    chosen = subset.Subsetter(options)
    chosen.populate(unicodes=sorted({ord(sign) for character in characters for sign in (character, italic(character))}))
    written = BytesIO()
    with TTFont(font_file(), lazy=True, recalcTimestamp=False) as font:
        chosen.subset(font)
        font.flavor = "woff"
        font.save(written)
    return written.getvalue()


def italic(character: str) -> str:
    """Return the sign that a browser shows for a letter that stands alone: in italics (MathML Core, 2.1.7).

    Other signs stay as they are.
    """
    if character == "h":
        return "\N{PLANCK CONSTANT}"
    for first, last, italics in _ITALICS:
        if first <= character <= last:
            return chr(ord(character) - ord(first) + italics)
    return _GREEK.get(character, character)


_ITALICS = (("A", "Z", 0x1D434), ("a", "z", 0x1D44E), ("Α", "Ω", 0x1D6E2), ("α", "ω", 0x1D6FC))
"""Ranges of letters, and where their italics begin in Unicode."""

_GREEK = dict(zip("∂ϵϑϰϕϱϖ", map(chr, range(0x1D715, 0x1D71C)), strict=True))
"""Further letters -> their italics."""
