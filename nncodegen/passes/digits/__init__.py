"""Finds forms of formulas that keep their digits, value and derivatives, by measuring them at drawn points.

points    the points: numbers of all sizes, and ordinary ones
measure   exact values, and the bits that a form loses
screen    the cheap test that finds most formulas sound
search    the search over the alternatives of ``rules``, and over branches between forms
formed    a formula with a form of its own, for the value and for each derivative
"""
