"""Tiles that are not full: certificates carry them out, and name faults that no full tile has."""

from dataclasses import replace

import numpy as np
import pytest
from sympy import Abs

import nncodegen as nn
from nncodegen.certificates import scheduled
from nncodegen.certificates.tiles import make_batch
from nncodegen.compiler.ir import SAMPLE, Element, evaluate
from nncodegen.compiler.schedule import loops
from nncodegen.compiler.schedule.plans import TILE
from nncodegen.compiler.schedule.rewrites import set_loop_ends
from nncodegen.compiler.schedule.storage import Place
from nncodegen.compiler.schedule.tree import Call, Compute, Let, Store
from nncodegen.compiler.schedule.tree_walks import rewritten, steps_in
from tests.support.kinds import KINDS

WINDOWS = nn.Sequential([nn.Conv1D(2, 2, activation="tanh"), nn.Flatten(), nn.Dense(1)], (3, 1), name="windows")
TIMES = nn.Sequential([nn.SimpleRNN(2, return_sequences=True), nn.SimpleRNN(1), nn.Dense(1)], (2, 1), name="times")
STATISTICS = nn.Sequential(
    [nn.Conv1D(1, 2), nn.BatchNormalization(), nn.MaxPooling1D(2), nn.Flatten(), nn.Dense(1)], (3, 1), name="statistics"
)
LAYERS = nn.Sequential([nn.Dense(20, "tanh"), nn.Dense(3)], 5, name="layers")
WIDE = nn.Sequential([nn.Dense(24, "tanh"), nn.BatchNormalization(), nn.Dense(16, "relu"), nn.Dense(2)], 8, name="wide")
MODELS = {"windows": WINDOWS, "times": TIMES, "statistics": STATISTICS, "layers": LAYERS, "wide": WIDE}


def schedule_of(model):
    return nn.compile_model(model, until="schedule", fit=False)["schedule"]


def point_of(schedule):
    random = np.random.default_rng(1)
    sizes = (sum(tensor.size for tensor in tensors) for tensors in (schedule.program.inputs, schedule.program.targets))
    X, Y = (random.uniform(0.2, 0.9, (3, size)) for size in sizes)
    return random.uniform(0.1, 0.9, schedule.program.parameter_count), X, Y


def found(schedule):
    return scheduled.carried_out(schedule, *point_of(schedule))


def found_in_full_tiles(schedule, monkeypatch, number=2):
    """The fault that some full tiles have, one after the other."""
    with monkeypatch.context() as patch:
        patch.setattr(scheduled, "_counts", lambda kernel, tile, vector: [("", (tile,) * number)])
        patch.setattr(scheduled, "_rest", lambda kernel, tile, vector: tile)
        return found(schedule)


@pytest.mark.parametrize("name", MODELS)
def test_right_schedules(name):
    """Full tiles and others, after each other and alone, give the values of the program."""
    assert found(schedule_of(MODELS[name])) is None


def test_the_tiles_of_a_batch():
    """Tiles have the values of their samples, and sums those of the batch, however it is divided and padded."""
    program = nn.compile_model(STATISTICS, until="simplify", fit=False)["simplify"]
    random = np.random.default_rng(2)
    parameters, X, Y = random.uniform(0.1, 1, program.parameter_count), *(random.normal(size=(7, k)) for k in (3, 1))
    batch = make_batch(program, parameters, X, Y, (4, 3), rows=8, vector=4, alike=True)
    whole = evaluate(program, parameters, X, Y)
    assert [tile.count for tile in batch.tiles] == [4, 3]
    for step in program.steps:
        name, indices = step.target.tensor, step.target.indices
        if SAMPLE in indices:
            axis = indices.index(SAMPLE)
            parts = [np.take(tile.values[name], range(tile.count), axis) for tile in batch.tiles]
            np.testing.assert_allclose(np.concatenate(parts, axis), whole[name], atol=1e-13)
        else:
            for tile in batch.tiles:
                np.testing.assert_allclose(tile.values[name], whole[name], atol=1e-13)


def of_samples_alone(patch, in_time):
    """Loops of windows, or those over time, end with the last sample of a tile, although what follows reads vectors."""
    right = set_loop_ends._Bound._end

    def end(self, index, site):
        return set_loop_ends.COUNT if index == SAMPLE and bool(site.time) == in_time else right(self, index, site)

    patch.setattr(set_loop_ends._Bound, "_end", end)


@pytest.mark.parametrize(("model", "in_time"), [(WINDOWS, False), (TIMES, True)], ids=["windows", "times"])
def test_loops_that_leave_out_the_padding(model, in_time, monkeypatch):
    """What nobody has computed for the padding of a tile gets into a sum: no full tile shows it."""
    of_samples_alone(monkeypatch, in_time)
    schedule = schedule_of(model)
    assert found_in_full_tiles(schedule, monkeypatch) is None
    fault = found(schedule)
    assert fault.stage == "schedule"
    assert fault.step.startswith(("d_", "loss ="))
    assert "sums up to another value" in fault.message


def undefined(tree, tensor):
    """The values of a tensor are not numbers for samples of the weight 0, and what they were for all others."""
    weight = Element("weight", (SAMPLE,))
    or_nan = Abs(weight) / weight

    def value(statement):
        is_meant = statement.target.tensor == tensor and statement.value.terms != (statement.target,)
        terms = tuple(or_nan * term for term in statement.value.terms) if is_meant else statement.value.terms
        return (replace(statement, value=replace(statement.value, terms=terms)),)

    def steps(statement):
        changed_steps = (
            replace(s, expression=or_nan * s.expression) if s.target.tensor == tensor else s for s in statement.steps
        )
        return (replace(statement, steps=tuple(changed_steps)),)

    return rewritten(tree, {Compute: steps, Call: steps, Let: value, Store: value})


@pytest.mark.parametrize("number", range(len(TILE.rewrites)), ids=[each.__name__ for each in TILE.rewrites])
@pytest.mark.parametrize(("model", "tensor"), [(WINDOWS, "z1"), (TIMES, "z1")], ids=["windows", "times"])
def test_a_fault_of_any_rewrite_in_the_padding(model, tensor, number, monkeypatch):
    """Where a rewrite spoils what pads a tile, and nothing else, the sum is named into which that gets."""

    def faulty(kernel, program, layout):
        kernel = TILE.rewrites[number](kernel, program, layout)
        return replace(kernel, trees=kernel.trees.each(lambda tree: undefined(tree, tensor)))

    rewrites = (*TILE.rewrites[:number], faulty, *TILE.rewrites[number + 1 :])
    monkeypatch.setattr(loops, "TILE", replace(TILE, rewrites=rewrites))
    schedule = schedule_of(model)
    assert found_in_full_tiles(schedule, monkeypatch) is None
    fault = found(schedule)
    assert fault.stage == "schedule"
    assert fault.step.startswith(("d_", "loss ="))


def test_copies_that_a_tile_overwrites(monkeypatch):
    """What is prepared once for all tiles has to last: a tile that overwrites what it has read spoils the next one."""
    model, precision, choices = KINDS["features"]
    schedule = nn.compile_model(model, precision, until="schedule", choices=choices)["schedule"]
    predict, *others = schedule.kernels
    copies = [step.target.tensor for step in steps_in(predict.trees.before[0])]
    *_, last = (step.target for step in steps_in(predict.trees.tile) if predict.place(step.target) is Place.ARRAY)
    place = replace(predict.storage[last.tensor], offset=predict.storage[copies[0]].offset)
    predict = replace(predict, storage={**predict.storage, last.tensor: place})
    wrong = replace(schedule, kernels=(predict, *others))
    assert found_in_full_tiles(wrong, monkeypatch, 1) is None
    fault = found(wrong)
    assert "the loops of the kernel predict say" in fault.message
    assert fault.step.startswith("s1[n, j]")


@pytest.mark.parametrize("single", [False, True], ids=["tile", "single sample"])
def test_a_parameter_that_is_read_after_it_has_changed(single):
    """Where derivatives are subtracted from the parameters at once, nothing may read these afterwards."""
    model, precision, choices = KINDS["features"]
    schedule = nn.compile_model(model, precision, until="schedule", choices=choices)["schedule"]
    kernel = schedule.single_sample.gradient if single else schedule.gradient
    ((phase, tree),), after = kernel.trees.parts, kernel.trees.after
    (derivative,) = (group for group in (*tree, *after) if "d_W3" in {step.target.tensor for step in group.steps})
    number = next(k for k, each in enumerate(tree) if any("sum(l) W3" in str(step) for step in each.steps[:1]))
    early = (*tree[:number], derivative, *(each for each in tree[number:] if each != derivative))
    later = tuple(each for each in after if each != derivative)
    wrong = replace(kernel, trees=replace(kernel.trees, parts=((phase, early),), finish=(later,)))
    if single:
        schedule = replace(schedule, single_sample=replace(schedule.single_sample, gradient=wrong))
    else:
        schedule = replace(schedule, kernels=(*schedule.kernels[:-1], wrong))
    fault = found(schedule)
    assert "where parameters change in place" in fault.message


def test_outputs_that_are_gone_when_metrics_read_them():
    """Metrics compare the outputs of a tile at its end: until then, nothing else may lie in their place."""
    model, precision, choices = KINDS["features"]
    schedule = nn.compile_model(model, precision, until="schedule", choices=choices)["schedule"]
    predict, loss, gradient = schedule.kernels
    (output,) = loss.outputs
    place = replace(loss.storage["loss_n"], offset=loss.storage[output.tensor].offset)
    wrong = replace(loss, storage={**loss.storage, "loss_n": place})
    fault = found(replace(schedule, kernels=(predict, wrong, gradient)))
    assert fault.step.startswith(f"{output} =")
    assert "where metrics read them" in fault.message


def test_sums_that_are_gone_when_phases_run_again():
    """In a large batch, earlier phases run again: what was made of their sums must not lie in the place of an array."""
    schedule = schedule_of(STATISTICS)
    *others, gradient = schedule.kernels
    *_, (_, third), (_, last) = gradient.trees.parts
    arrays = (gradient.storage[step.target.tensor] for step in steps_in(third))
    read = {
        operand.tensor for step in (*steps_in(last), *steps_in(gradient.trees.measured)) for operand in step.operands
    }
    kept = {gradient.storage[name].offset for name in {*read, *(element.tensor for element in gradient.outputs)}}
    dead = next(known.offset for known in arrays if known.place is Place.ARRAY and known.offset not in kept)
    place = replace(gradient.storage["d_total2"], offset=dead)
    wrong = replace(gradient, storage={**gradient.storage, "d_total2": place})
    fault = found(replace(schedule, kernels=(*others, wrong)))
    assert "where earlier phases run again" in fault.message


@pytest.mark.parametrize("how", ["all at once", "one after the other"])
def test_outputs_that_leave_the_registers(how):
    """The outputs of a sample that is trained in registers are those of the program, before any parameter changes."""
    model, precision, choices = KINDS["registers"]
    schedule = nn.compile_model(model, precision, until="schedule", choices=choices)["schedule"]

    def other(store):
        twice = tuple(2 * term for term in store.value.terms)
        changed = replace(store, value=replace(store.value, terms=twice))
        return (changed if registers.numbers[store.target][0] is Place.OUTPUT else store,)

    registers = schedule.unrolled
    first, *rest = registers.sequential
    if how == "all at once":
        wrong = replace(registers, together=rewritten(registers.together, {Store: other}))
    else:
        wrong = replace(registers, sequential=(replace(first, tree=rewritten(first.tree, {Store: other})), *rest))
    fault = found(replace(schedule, unrolled=wrong))
    assert fault.step.startswith(f"{schedule.program.outputs[0]} =")
    assert f"the statements in registers, {how}, give another value" in fault.message
