"""Expressions as graphs: each part once, however often it occurs and however deep it lies."""

import sympy

from nncodegen.compiler.ir.graphs import graph_of, nested, symbols_of

X, Y, Z = sympy.symbols("x y z")


def squared(times):
    """X after ``times`` of u = u*(1 + u): a tree of more than 2**times nodes."""
    u = X
    for _ in range(times):
        u = u * (1 + u)
    return u


def test_shared_parts_are_one_node():
    """What occurs many times is counted once in the graph, and each time in the size of the tree."""
    few, many = (graph_of([squared(times)]) for times in (10, 20))
    assert len(many.nodes) - len(few.nodes) == 20  # a sum and a product for each time
    assert few.size > 2**10
    assert many.size > 2**20


def test_equal_parts_are_one_node():
    """Parts that are equal, but not the same object, have one number, and operands come before what is made of them."""
    deep = sympy.sin(X)
    for _ in range(3000):
        deep = sympy.sin(deep, evaluate=False)
    other = deep.func(deep.args[0], evaluate=False)
    graph = graph_of([deep, other])
    assert graph.roots[0] == graph.roots[1]
    assert len(graph.nodes) == graph.depth == 3002
    assert all(operand < number for number, numbers in enumerate(graph.operands) for operand in numbers)
    assert symbols_of(deep) == (X,)


def test_sums_within_sums():
    """A sum that holds all terms of an earlier one has that one as an operand."""
    inner = sympy.sin(X + Y + Z)
    graph = nested(graph_of([inner + (X + Y + Z + sympy.exp(inner))]))
    sums = [n for n, node in enumerate(graph.nodes) if node.is_Add]
    assert sums[0] in graph.operands[sums[1]]
    assert len(graph.operands[sums[1]]) == 3
