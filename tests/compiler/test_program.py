"""The intermediate representation: well-formed programs, and the culprit in those that are not."""

import copy
import pickle
from dataclasses import fields, replace
from operator import attrgetter

import pytest
import sympy

from nncodegen import ProgramError
from nncodegen.compiler.ir import Element, FitTask, Options, Program, Step, Task, Tensor, needed, slices_of, verify
from nncodegen.compiler.ir.program import MOVED

W, x, h, w = Element("W", ("j", "i")), Element("x", ("n", "i")), Element("h", ("n", "j")), Element("weight", ("n",))
STEPS = (
    Step(h, W * x, "sum", ("i",)),
    Step(Element("l", ("n",)), h**2, "sum", ("j",)),
    Step(Element("loss"), Element("l", ("n",)) * w, "sum", ("n",)),
)
PROGRAM = Program("p", (Tensor("x", (None, 4)),), STEPS, (h,), (Tensor("W", (3, 4)),), loss=Element("loss"))


def test_shapes_follow_from_the_declared():
    """The shape of every tensor and the size of every index are known."""
    assert verify(PROGRAM).shapes == {
        "x": (None, 4),
        "W": (3, 4),
        "weight": (None,),
        "h": (None, 3),
        "l": (None,),
        "loss": (),
    }
    assert PROGRAM.sizes == {"n": None, "i": 4, "j": 3}


def test_slices():
    """Tensors that lie one after the other have slices that meet; an output is declared like an input."""
    (output,) = PROGRAM.output_tensors
    assert output == Tensor("h", (None, 3))
    tensors = (*PROGRAM.inputs, *PROGRAM.parameters, Tensor("b"), output)
    assert [(tensor.name, place.start, place.stop) for tensor, place in slices_of(tensors)] == [
        ("x", 0, 4),
        ("W", 4, 16),
        ("b", 16, 17),
        ("h", 17, 20),
    ]


def test_show():
    """A program prints as in the design."""
    assert PROGRAM.show().splitlines() == [
        "inputs      x[n, 4]",
        "parameters  W[3, 4]",
        "",
        "h[n, j] = sum(i) W[j, i]*x[n, i]",
        "l[n]    = sum(j) h[n, j]**2",
        "loss    = sum(n) l[n]*weight[n]",
        "",
        "outputs     h[n, j]",
        "loss        loss",
    ]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Step(h, W * x, "sum", ("i",)), "h is defined twice"),
        (Step(Element("q"), Element("z")), "z is used before it is defined"),
        (Step(Element("q", ("n",)), h), "index j is neither on the left nor reduced"),
        (Step(Element("q", ("n", "k")), Element("l", ("n",))), "size of the index k is not known"),
        (Step(Element("q", ("n",)), Element("W", ("n", "i")), "sum", ("i",)), "index n has two sizes"),
        (Step(Element("q", ("n",)), Element("h", ("n",))), "does not have the rank"),
        (Step(Element("q", ("n",)), h, "median", ("j",)), "no operator median"),
        (Step(Element("q", ("n",)), h, None, ("j",)), "an operator needs indices"),
    ],
)
def test_verify_names_the_culprit(step, message):
    """A program that is not well formed is refused by the step that is wrong."""
    with pytest.raises(ProgramError, match=message):
        verify(replace(PROGRAM, steps=(*STEPS, step)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": Element("missing")}, "missing is never defined"),
        ({"loss": Element("l", ("n",))}, "is not a scalar"),
        ({"gradient": (Element("l", ("n",)),)}, "has the shape"),
        ({"gradient": (Element("loss"), Element("loss"))}, "1 parameters, 2 gradients"),
        ({"inputs": (Tensor("W", (None, 4)),)}, "W is declared twice"),
    ],
)
def test_verify_checks_the_results(change, message):
    """Results must be defined, and have the shape that they should."""
    with pytest.raises(ProgramError, match=message):
        verify(replace(PROGRAM, **change))


def test_elements_are_symbols():
    """Two elements are equal if tensor and indices are; SymPy differentiates by them."""
    assert Element("x", ("n",)) == Element("x", ["n"]) != Element("x", ("m",))
    assert Element("x[n]") != Element("x", ("n",))
    assert sympy.diff(W * x, x) == W
    assert sympy.log(sympy.exp(x)) == x  # real


def test_needed():
    """Steps that no result depends on are dropped."""
    assert needed(STEPS, [h]) == STEPS[:1]
    assert needed(STEPS, [Element("loss")]) == STEPS


def test_attributes_of_the_records():
    """What a program had as attributes before its records can still be read, also of a copy; other names raise."""
    fits = FitTask(input_shifts=2, has_fit_by_default=True)
    task = Task(threshold=0.25, sorted_inputs=("x",), losses_per_sample=4, fits=fits)
    program = replace(PROGRAM, task=task, options=Options("float32", "best", "portable"))
    for copied in (program, copy.deepcopy(program), pickle.loads(pickle.dumps(program))):
        assert (copied.threshold, copied.rising, copied.mean_over, copied.changes) == (0.25, ("x",), 4, 2)
        assert (copied.precision, copied.digits, copied.bits) == ("float32", "best", "portable")
        assert all(getattr(copied, name) == attrgetter(".".join(path))(copied) for name, path in MOVED.items())
    with pytest.raises(AttributeError, match="a program has no attribute 'treshold'"):
        program.treshold  # noqa: B018
    with pytest.raises(AttributeError, match=r"has no kept of its own any more: .*\.findings has digits_report"):
        program.kept  # noqa: B018


def test_programs_of_older_pickles():
    """A program that version 0.2 pickled, with all attributes side by side, is read as one with records."""
    fits = FitTask(own=("a",), input_shifts=2)
    task = Task(labels=True, sorted_inputs=("x",), fits=fits, identity="model")
    program = replace(PROGRAM, task=task, options=Options("float32", "best", "portable"))
    state = {name: value for name, value in vars(program).items() if name not in ("task", "options")}
    state |= {name: getattr(program, name) for name in (*MOVED, "precision", "bits")}
    state |= {"companions": (), "operations": None, "kept": (), "apart": False, "not_fitted": "", "not_generated": ""}
    older = Program.__new__(Program)
    older.__setstate__(state)
    assert older == program


def test_records_stay_small():
    """Neither a program nor one of its records has more than 16 fields."""
    assert all(len(fields(record)) <= 16 for record in (PROGRAM, PROGRAM.task, PROGRAM.task.fits, PROGRAM.options))
