"""Value numbering: one step for each value."""

import sympy
from sympy import Piecewise, exp, log

from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.functions import sigmoid
from nncodegen.compiler.passes.numbering import Numbering

a, b = Element("a"), Element("b", ["n"])


def texts(numbering):
    return [str(step) for step in numbering.steps]


def test_a_value_is_defined_once():
    """The same value gets the same element, whoever asks."""
    numbering = Numbering(["a", "b"])
    first = numbering.define(sigmoid(a + b) + a)
    assert numbering.define(a + sigmoid(b + a)) == first
    assert texts(numbering) == ["t1[n] = a + b[n]", "t2[n] = sigmoid(t1[n])", "t3[n] = a + t2[n]"]


def test_opposite_sums_are_one_value():
    """z and -z share a step where z is a sum, whose sign SymPy distributes."""
    numbering = Numbering(["a", "b"])
    numbering.define(sigmoid(a - 2 * b))
    numbering.define(sigmoid(2 * b - a))
    assert len([step for step in numbering.steps if step.expression.is_Add]) == 1


def test_names_never_clash():
    """A name that is taken is avoided: a user's t1 stays the user's."""
    numbering = Numbering(["t1", "output"])
    assert numbering.define(exp(Element("t1")) + 1, "output").tensor == "output_"
    assert [step.target.tensor for step in numbering.steps] == ["t2", "output_"]


def test_steps_are_sums_of_products_or_functions():
    """A sum of products of elements stays one step; what is nested becomes steps of its own."""
    numbering = Numbering(["a", "b"])
    numbering.define(a * b**2 + 3 * a - 1)
    assert len(numbering.steps) == 1
    numbering.define(a * (b + 1) * log(b))
    assert len(numbering.steps) == 4


def test_branches_that_may_be_infinite_stay_whole():
    """For differentiation a branch is not cut where it could be infinite, but where it cannot."""
    expression = Piecewise((0, b <= 0), (log(b) * sigmoid(a + b), True))
    whole = Numbering(["a", "b"], to_differentiate=True)
    whole.define(expression)
    assert [str(step.expression.func.__name__) for step in whole.steps] == ["Add", "sigmoid", "Piecewise"]
    cut = Numbering(["a", "b"])
    cut.define(expression)
    assert "log" in [step.expression.func.__name__ for step in cut.steps]


def test_reductions_are_values_too():
    """Equal reductions share a step, different ones do not."""
    numbering = Numbering(["b"])
    first = numbering.define(b, operator="sum", over=("n",))
    assert numbering.define(b, operator="sum", over=("n",)) == first
    assert numbering.define(b, operator="max", over=("n",)) != first
    assert first.indices == ()


def test_numbers_are_no_steps():
    """Constants of any form are kept where they are used."""
    numbering = Numbering(["a"])
    numbering.define(sympy.sqrt(2) * a + log(3))
    assert texts(numbering) == ["t1 = sqrt(2)*a + log(3)"]
