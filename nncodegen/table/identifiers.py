"""Columns that identify rows: nothing is learned from them that holds for other rows."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

_IDENTIFIERS = frozenset("id ids key keys uuid guid uid code codes rowname rownames rownum unnamed".split())
_JOINED = re.compile(
    r"(user|customer|client|order|student|patient|passenger|product|item|account|employee|record|row)s?id"
)
_NUMBERS = frozenset("index idx row rows number num nr no serial case record obs sample subject sku".split())
_ORDERS = frozenset(
    "year years yr month months week weeks day days date hour hours minute minutes second seconds time times period "
    "quarter age rank place position trial dose step epoch".split()
)
_FEWEST = 20  # rows among which a count from 0 or 1 is no chance


def identifies_rows(name: str, values: Any) -> bool:
    """Whether the numbers of a column (N,) identify rows, as far as its name and its values tell.

    They are whole numbers, each in one row, and more than two, and

    * the name says so: one of its words is id, key, uuid, code, rownames or the like (PassengerId, order_id); or
    * the name says that it numbers something (index, row, number, record), and the numbers rise or fall from row to
      row, or are most of those between the lowest and the highest; or
    * they count the rows from 0 or 1, either upwards, most of them being there, or in any order, all being there, in
      twenty rows at least, and the name is not the letter of a variable (n, x1).

    In the last two cases, the name is that of no time or order (year, day, rank).

    A measurement whose values happen to be different, such as a population or a price, is none of this.
    """
    if len(values) <= 2 or (values != np.floor(values)).any() or len(np.unique(values)) < len(values):
        return False
    words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
    if words & _IDENTIFIERS or any(map(_JOINED.fullmatch, words)):
        return True
    steps = np.diff(values)
    dense = np.ptp(values) < 2 * len(values)
    upwards = (steps > 0).all()
    if words & _ORDERS:
        return False
    if words & _NUMBERS:
        return bool(upwards or (steps < 0).all() or dense)
    if len(values) < _FEWEST or re.fullmatch(r"[a-z]\d*", name):
        return False
    return bool(values.min() in (0, 1) and (np.ptp(values) == len(values) - 1 or (upwards and dense)))
