"""Formulas as MathML, which browsers set by themselves, made from the LaTeX that stands beside them to be copied."""

from __future__ import annotations

import html
from itertools import pairwise
from xml.etree.ElementTree import Element, tostring

from latex2mathml.converter import convert_to_element
from markupsafe import Markup

_BARS = ("¯", "―")
_OVERLINE = "‾"
_SIGNS = ("+", "−")
_CLOSING = (")", "]")


def mathml(latex: str, block: bool = False) -> Markup:
    """Return a formula as an element, displayed or in the text. Fractions and sums have the same size in both."""
    root = convert_to_element(latex, display="block")  # in the text, too, indices stand below their sum
    root.attrib = {"display": "block"} if block else {"displaystyle": "true"}
    for element in root.iter():
        if element.text:  # the library writes entities as texts; a user's texts contain none, as they contain no &
            element.text = html.unescape(element.text)
    for element in root.iter():
        _correct(element)
    return Markup(tostring(root, encoding="unicode"))


def _correct(element: Element) -> None:
    """Correct what browsers set differently from LaTeX."""
    if element.tag == "mover":
        element.set("accent", "true")  # otherwise a bar has the size of an exponent, and a gap below it
        if element[-1].text in _BARS:
            element[-1].text = _OVERLINE  # it stretches over words in fonts that support this
    for child in element:
        if _is_word(child) and element.tag != "munder":
            child.tag = "mi"  # the name of a function: operators would have the space of a sign between terms
    for before, child in pairwise(element):
        if child.tag == "mo" and child.text in _SIGNS and _opens(before):
            child.set("form", "prefix")  # otherwise it has the space of a sign between terms, unless it comes first


def _is_word(element: Element) -> bool:
    """Return whether an element is an operator of several letters."""
    text = element.text or ""
    return element.tag == "mo" and len(text) > 1 and text.isalpha()


def _opens(element: Element) -> bool:
    """Return whether a sign after an element is that of a number or a term: after a space, = or (."""
    is_sign = element.tag == "mo" and element.get("form") != "postfix" and element.text not in _CLOSING
    return is_sign or element.tag == "mspace"
