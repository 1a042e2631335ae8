"""Finds columns that identify rows. What is learned from them does not hold for other rows."""

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
_FEWEST = 20  # in this many rows, integers do not count from 0 or 1 by chance


def identifies_rows(name: str, values: Any) -> bool:
    """Return whether the numbers of a column (N,) identify rows, judged by its name and its values.

    The numbers must be integers, at least three, and all different. In addition

    * the name says so: one of its words is id, key, uuid, code, rownames or the like (PassengerId, order_id); or
    * the name says that it is an index (index, row, number, record), and the numbers rise or fall from row to
      row, or most of the integers between the lowest and the highest occur; or
    * the numbers count at least twenty rows from 0 or 1, either upwards, with few integers left out, or in any order,
      with none left out, and the name is not the letter of a variable (n, x1).

    In the last two cases the name must not be that of a time or an order (year, day, rank).

    So a measurement whose values happen to be different, such as a population or a price, does not count.
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
