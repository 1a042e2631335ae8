"""Rewrites of loop trees: each leaves whole trees, and a fault in any of them is named."""

from dataclasses import replace

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.certificates.scheduled import carried_out
from nncodegen.errors import ProgramError
from nncodegen.ir import Element, Step
from nncodegen.schedule import formulas, layers, loops, single_sample
from nncodegen.schedule.lowering import lower
from nncodegen.schedule.plans import FITS, FORMULA, LAYERS, SINGLE_SAMPLE, TILE
from nncodegen.schedule.text import show
from nncodegen.schedule.tree import Call, Carry, Compute, Let, Loop, Store
from nncodegen.schedule.walks import only, rewritten, walk
from tests.support.kinds import KINDS
from tests.support.placed import in_all, placed

PLANS = {
    "tile": (TILE, loops, "TILE", "features", "z1"),
    "single sample": (SINGLE_SAMPLE, single_sample, "SINGLE_SAMPLE", "single_samples", "z1"),
    "layers": (LAYERS, layers, "LAYERS", "single_samples", "z1"),
    "formula": (FORMULA, formulas, "FORMULA", "registers", "t2"),
    "fits": (FITS, formulas, "FITS", "registers", "t2"),
}
"""Each plan, the module that takes it and its name there, a model that has it, and one of the tensors there."""

CASES = [(name, number) for name, (plan, *_) in PLANS.items() for number in range(len(plan.rewrites))]


def scheduled(model):
    precision, choices = KINDS[model][1:]
    return nn.compile_model(KINDS[model][0], precision, until="schedule", choices=choices)["schedule"]


def point(schedule):
    random = np.random.default_rng(0)
    sizes = (sum(tensor.size for tensor in tensors) for tensors in (schedule.program.inputs, schedule.program.targets))
    X, Y = (random.uniform(0.2, 0.9, (3, size)) for size in sizes)
    return random.normal(0, 0.5, schedule.program.parameter_count), X, Y


def planted(monkeypatch, name, number, plant):
    """A plan, one of whose rewrites is followed by a fault."""
    plan, module, attribute, model, tensor = PLANS[name]

    def faulty(kernel, program, layout):
        kernel = plan.rewrites[number](kernel, program, layout)
        return replace(kernel, trees=kernel.trees.each(lambda tree: plant(tree, tensor)))

    faulty.__name__ = f"faulty_{plan.rewrites[number].__name__}"
    rewrites = (*plan.rewrites[:number], faulty, *plan.rewrites[number + 1 :])
    monkeypatch.setattr(module, attribute, replace(plan, rewrites=rewrites))
    return model, tensor, faulty.__name__


def doubled(tree, tensor):
    """Twice the value of a tensor, whatever form its step has by now."""

    def value(statement):
        own = statement.target.tensor == tensor and statement.value.terms != (statement.target,)
        terms = tuple(2 * term for term in statement.value.terms) if own else statement.value.terms
        return (replace(statement, value=replace(statement.value, terms=terms)),)

    def steps(statement):
        own = (replace(s, expression=2 * s.expression) if s.target.tensor == tensor else s for s in statement.steps)
        return (replace(statement, steps=tuple(own)),)

    return rewritten(tree, {Compute: steps, Call: steps, Let: value, Store: value})


def left_out(tree, tensor):
    """A tree that does not compute a tensor."""
    tree = only(tree, lambda step: step.target.tensor != tensor)
    gone = {kind: lambda one: () if one.target.tensor == tensor else (one,) for kind in (Let, Store)}
    return rewritten(tree, gone)


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_wrong_value_in_any_rewrite_is_named(name, number, monkeypatch):
    """Where a rewrite of any plan doubles a value, the certificate says in which step the schedule is wrong."""
    model, tensor, _ = planted(monkeypatch, name, number, doubled)
    schedule = scheduled(model)
    fault = carried_out(schedule, *point(schedule))
    assert fault.stage == "schedule"
    assert fault.step.startswith(f"{tensor}[")


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_step_left_out_by_any_rewrite_is_refused(name, number, monkeypatch):
    """Where a rewrite of any plan loses a step, it is named, with the statement that reads what is lost."""
    model, tensor, rewrite = planted(monkeypatch, name, number, left_out)
    with pytest.raises(ProgramError, match=rf"rewrite {rewrite} has left an invalid tree: .*{tensor}\["):
        scheduled(model)


@pytest.mark.parametrize("rewrite", ["take_factors", "split", "functions"])
def test_faults_before_places_are_known_are_named(rewrite, monkeypatch):
    """So are those of the rewrites before: a value by the certificate, a step that is lost by the rewrite."""
    right = getattr(loops, rewrite)
    for plant in (doubled, left_out):

        def faulty(trees, plant=plant, **given):
            return right(trees, **given).each(lambda tree: plant(tree, "z1"))

        faulty.__name__ = rewrite
        monkeypatch.setattr(loops, rewrite, faulty)
        if plant is left_out:
            with pytest.raises(ProgramError, match=rf"rewrite {rewrite} has left an invalid tree: z1\[n, j\] is used"):
                scheduled("features")
        else:
            schedule = scheduled("features")
            assert carried_out(schedule, *point(schedule)).step.startswith("z1[n, j]")


@pytest.mark.parametrize("model", [model for model, _, _ in KINDS.values()], ids=KINDS)
def test_nothing_is_left_to_be_written_out(model):
    """Before the rewrites, a tree has steps alone, in loops over time; behind them, each step is written out."""
    for kernel in placed(model).kernels:
        before = [statement for tree in kernel.trees.in_order for statement in walk(tree)]
        assert {type(statement) for statement in before} == {Compute}
        steps = {step for each in in_all(kernel) for step in each.steps}
        schedule = placed(model)
        after = lower(kernel, schedule.program, schedule.layout).trees
        found = [statement for tree in after.in_order for statement in walk(tree)]
        assert not any(isinstance(statement, Compute) for statement in found)
        assert {e.tensor for e in _computed(found)} <= {step.target.tensor for step in steps}


def _computed(statements):
    return [s.target for s in statements if isinstance(s, Let | Store)]


def test_a_tree_before_its_rewrites_reads_as_text():
    """Steps and the loops around them are told before any loop is written out."""
    h, v = Element("h", "nt"), Element("v", "nt")
    carry = Carry(Step(h, v, "before", ("t",)))
    compute = Compute((Step(v, 2 * h),), outer=("j",), samples=True, unrolled=("k",))
    assert show((Loop("t", 9, (carry, compute)),)).splitlines() == [
        "for t from 0 to 9, in any order",
        "  carry h[n, t] = before(t) v[n, t]",
        "  compute by loops over j, n, each k: v[n, t] = 2*h[n, t]",
    ]
