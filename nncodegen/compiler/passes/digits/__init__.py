"""Finds forms of formulas that keep their digits, value and derivatives, by measuring them at drawn points.

formats   floating-point numbers in their order, and the bits that a value loses
points    the points: numbers of all sizes, and ordinary ones
exact     the exact values of formulas
measure   the values of forms
screen    the cheap test that finds most formulas sound
cost      the operations of a form, and how many it may have
candidate a form that a search has measured
search    the search over the alternatives of ``rules``
branches  branches between forms by the size of an element
borders   points near the borders of the conditions in a form
formed    a formula with a form of its own, for the value and for each derivative
answers   what has been found, kept for other processes
"""
