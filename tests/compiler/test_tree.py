"""The loop tree: it prints readably, breaks no rule, and is carried out for every plan of every kind of model."""

from dataclasses import replace

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.certificates import scheduled
from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.equations import Solution
from nncodegen.compiler.schedule.plain import plan_gradient
from nncodegen.compiler.schedule.plain_lowering import PlainLowering
from nncodegen.compiler.schedule.text import show
from nncodegen.compiler.schedule.tree import Combine, Gather, Group, Let, Loop, Store, Value, Variable, Way
from nncodegen.compiler.schedule.tree_walks import rewritten, walk
from nncodegen.compiler.schedule.verify import verify_trees
from nncodegen.errors import ProgramError
from tests.support.attention import beside_recurrent
from tests.support.built import stage
from tests.support.kinds import KINDS
from tests.support.windows import GROUPED, STEPS

X, H, TOTAL = Element("x", "nj"), Element("h", "nj"), Element("total", "j")
SILU = nn.Sequential([nn.Dense(13, "silu"), nn.Dense(13, "silu"), nn.Dense(1)], 30, "huber", name="rows")
CLASSES = nn.Sequential([nn.Dense(3, "tanh"), nn.Dense(2, "sigmoid")], 4, "binary_crossentropy", name="classes")
MODELS = {name: model for name, (model, _, _) in KINDS.items()} | {"grouped": GROUPED, "steps": STEPS}
CHOICES = {name: choices for name, (_, _, choices) in KINDS.items()}


def test_it_prints_readably():
    """Loops are indented, local values, sums and what goes to memory are told apart."""
    inner = Loop("n", "padded", (Let(H, Value((2 * X,))), Store(H, Value((H,)))), Way.INDEPENDENT)
    first = Store(TOTAL, Value((H, X), "max"), Combine.ADD)
    assert show((Group((Loop("j", 3, (Variable(TOTAL), inner, first)),), title="A title"),)).splitlines() == [
        "A title",
        "  for j from 0 to 3, in any order",
        "    variable total[j] = 0",
        "    for n from 0 to padded, at once",
        "      let h[n, j] = 2*x[n, j]",
        "      store h[n, j]",
        "    store total[j] += max(h[n, j], x[n, j])",
    ]


def network(name="rules"):
    return nn.Sequential([nn.Dense(20, "tanh"), nn.Dense(3)], 5, name=name)


def broken(plant, first=False):
    """The gradient of a network with statements planted at an end of its tile, examined."""
    schedule = stage(network(), "schedule", fit=False)
    kernel = schedule.gradient
    ((phase, tree),) = kernel.trees.parts
    kernel = replace(
        kernel, trees=replace(kernel.trees, parts=((phase, (*plant, *tree) if first else (*tree, *plant)),))
    )
    verify_trees(kernel, schedule.program, schedule.layout)


def over(target, value, way=Way.IN_TURN, end=20):
    return (Loop("j", end, (Loop("n", "padded", (Store(target, Value((value,))),), way),)),)


S1 = Element("s1", "nj")
GATHER = Gather(Solution("j", (), 3, 1), 20)


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (over(S1, Element("t2", "nj")), r"t2\[n, j\] is used before it is defined, in: store s1\[n, j\] = t2\[n, j\]"),
        (over(S1, sympy.S.One, end=10**6), r"s1\[n, j\] is at \d+ to \d+ of \d+ in work memory"),
        (over(Element("s1", "0j"), sympy.S.One), "iterations over n write to one place"),
        ((Loop("j", 20, (GATHER,), Way.IN_TURN),), "the index j has a value already where an equation gives it one"),
        ((GATHER, GATHER), "the index j has a value already where an equation gives it one"),
    ],
)
def test_what_breaks_a_rule_is_named(plant, message):
    """A value that is used before it is defined, an index out of its buffer or given twice, a place written twice."""
    broken(())  # nothing is wrong without it
    with pytest.raises(ProgramError, match=message):
        broken(plant)


def test_memory_is_written_before_it_is_read():
    """An array that nothing has been written to is not read."""
    with pytest.raises(ProgramError, match=r"h1\[n, j\] is read before it is written"):
        broken(over(S1, Element("h1", "nj")), first=True)


def test_a_sum_in_memory_has_a_start(monkeypatch):
    """A sum over queries in plain C is refused if its values in memory never became 0."""
    monkeypatch.setattr("nncodegen.compiler.schedule.pairs.PAIRS", 0)
    program, lowered = stage(beside_recurrent(5), fit=False), PlainLowering._group
    assert plan_gradient(program).work  # nothing is wrong as it is

    def without_zeros(self, item):
        group = lowered(self, item)
        return group if group.steps else Group(())

    monkeypatch.setattr(PlainLowering, "_group", without_zeros)
    with pytest.raises(ProgramError, match=r"has no start value in memory, in: store \w+\[.*\] \+= "):
        plan_gradient(program)


def test_two_live_arrays_in_one_place_are_named():
    """What is written where another array is still read is refused, with the names of both."""
    schedule = stage(network(), "schedule", fit=False)
    kernel = schedule.gradient
    storage = {**kernel.storage, "h1": replace(kernel.storage["h1"], offset=kernel.storage["x tile"].offset)}
    with pytest.raises(ProgramError, match=r"(h1 and x tile|x tile and h1) lie in the same memory while both are used"):
        verify_trees(replace(kernel, storage=storage), schedule.program, schedule.layout)


def given(schedule, seed=0):
    random = np.random.default_rng(seed)
    program = schedule.program
    sizes = (sum(tensor.size for tensor in tensors) for tensors in (program.inputs, program.targets))
    X, Y = (random.uniform(0.2, 0.9, (3, size)) for size in sizes)
    return random.normal(0, 0.5, program.parameter_count), X, Y


def kernels(schedule, *point):
    return list(scheduled._kernels(schedule, *point))


@pytest.mark.parametrize("name", MODELS)
def test_every_plan_is_carried_out(name):
    """Tiles, companions, single samples, models and fits side by side give what the program gives."""
    schedule = stage(MODELS[name], "schedule", **CHOICES.get(name, {}))
    point = given(schedule)
    assert scheduled.carried_out(schedule, *point) is None
    what = " ".join(kernel.what for kernel in kernels(schedule, *point))
    assert "the kernel predict" in what
    if schedule.single_sample:
        assert "a single sample" in what
    if schedule.side_by_side:
        assert "models side by side" in what
    if schedule.companions:
        assert "of fitting" in what


@pytest.mark.parametrize("model", [SILU, CLASSES], ids=lambda model: model.name)
def test_companions_are_carried_out(model):
    """Fits of other losses than squares take seeds, and loops over whole vectors read rows that are memory."""
    schedule = stage(model, "schedule", fit=True)
    assert {each.companion.name for each in schedule.companions} == {"fitting", "hessian"}
    for each in (schedule, *schedule.companions):
        for kernel in each.kernels:
            assert verify_trees(kernel, each.program, each.layout) <= kernel.memory.arrays
    assert scheduled.carried_out(schedule, *given(schedule)) is None


def doubled(statement):
    return (replace(statement, value=replace(statement.value, terms=tuple(2 * t for t in statement.value.terms))),)


PLANS = {
    "the kernel gradient": "features",
    "the kernel jacobian of fitting": "registers",
    "a single sample, for the kernel gradient": "single_samples",
    "models side by side, for the kernel gradient": "single_samples",
    "fits side by side, for the kernel rows of fitting": "registers",
}
"""Each plan, and a model that has it."""


@pytest.mark.parametrize("plan", PLANS)
def test_a_fault_in_any_plan_is_named(plan):
    """Where the value of any step is doubled in the tree of any plan, the step and the plan are named."""
    name = PLANS[plan]
    schedule = stage(MODELS[name], "schedule", **CHOICES.get(name, {}))
    point = next(kernel for kernel in kernels(schedule, *given(schedule)) if kernel.what == plan)
    ((phase, tree), *others), known = point.kernel.trees.parts, point.batch.tiles[0].values
    values = [s for s in walk(tree) if isinstance(s, Let) and s.value.operands and s.target.tensor in known]
    values = [s for s in values if np.any(known[s.target.tensor])]  # twice 0 is 0
    assert values
    for wrong in values[:: max(1, len(values) // 4)]:
        planted = rewritten(
            tree, {Let: lambda statement, wrong=wrong: doubled(statement) if statement == wrong else (statement,)}
        )
        trees = replace(point.kernel.trees, parts=((phase, planted), *others))
        fault = scheduled._fault(replace(point, kernel=replace(point.kernel, trees=trees)))
        assert fault.stage == "schedule"
        assert fault.step.startswith(f"{wrong.target.tensor}[") or fault.step.startswith(f"{wrong.target.tensor} =")
        assert f"the loops of {plan} say: it gives another value" in fault.message


@pytest.mark.parametrize("how", ["all at once", "one after the other"])
def test_a_fault_in_registers_is_named(how):
    """Where a statement of training in registers is doubled, the result that is wrong then is named."""
    schedule = stage(MODELS["registers"], "schedule")
    registers, (parameters, X, Y) = schedule.unrolled, given(schedule)
    *before, last = registers.sequential
    changes = {
        "all at once": lambda: replace(
            registers, together=(*registers.together[:-1], *doubled(registers.together[-1]))
        ),
        "one after the other": lambda: replace(
            registers, sequential=(*before, replace(last, tree=(*last.tree[:-1], *doubled(last.tree[-1]))))
        ),
    }
    fault = scheduled.carried_out(replace(schedule, unrolled=changes[how]()), parameters, X, Y)
    assert fault.step == str(next(step for step in schedule.program.steps if step.target.tensor == "d_c"))
    assert f"the statements in registers, {how}, give another value" in fault.message
