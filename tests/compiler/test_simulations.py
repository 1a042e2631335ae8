"""Loops over time of which only some values are read later: they keep one row, and their results stay the same."""

from copy import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Ge, Gt, sin, tanh

import nncodegen as nn
from nncodegen.certificates.scheduled import carried_out
from nncodegen.compiler.describe.describable import Described
from nncodegen.compiler.ir import Element, Step
from nncodegen.compiler.schedule import loops
from nncodegen.compiler.schedule.layout import LONG_TILE
from nncodegen.compiler.schedule.plans import TILE
from nncodegen.compiler.schedule.recurrences import in_same_row
from nncodegen.compiler.schedule.rewrites.sink_until_last_write import sink_until_last_write
from nncodegen.compiler.schedule.tree import Carry, Compute, Holds, If, Let, Loop, Value, Way
from nncodegen.compiler.schedule.tree_walks import Site, rewritten, targets, walk
from nncodegen.compiler.schedule.verify import verify_trees
from nncodegen.errors import ProgramError
from tests.support.built import built, stage
from tests.support.motion import trajectory
from tests.support.windows import data, states


def lorenz(steps, times=3, start=0.0):
    return nn.Dynamics(
        "x' = 10*(y - x); y' = r*x - y - x*z; z' = x*y - 2.666*z",
        {"x": 1, "y": 0, "z": 0},
        inputs="r",
        observed="x",
        times=times,
        start=start,
        steps=steps,
        name="lorenz",
    )


def rates(r):
    return lambda _, u: [10 * (u[1] - u[0]), r * u[0] - u[1] - u[0] * u[2], u[0] * u[1] - 2.666 * u[2]]


LORENZ = lorenz(4)

MODELS = {
    "an input": LORENZ,
    "no start": lorenz(3, start=None),
    "a column": nn.Dynamics("x' = f - x", {"x": 1}, times=3, columns="f", interpolation="linear", steps=4),
    "a held column": nn.Dynamics("x' = f - x", {"x": 1}, times=3, columns="f", steps=4),
    "parameters": nn.Dynamics("u'' = -k*u - t*u'", {"u": 1, "u'": 0}, {"k": 2}, observed="u", times=3, steps=3),
    "one step": nn.Dynamics("u' = v; v' = -u", {"u": 1, "v": 0}, observed="u", times=3, steps=1),
    "no steps": nn.Dynamics("u = before(v)/2; v = before(u) + 1", {"u": 1, "v": 2}, observed="u", times=3),
}


def samples(model, rows, seed=5):
    """Rows of inputs: times that grow, and whatever else there is."""
    rng = np.random.default_rng(seed)
    columns = {tensor.name: rng.uniform(0.1, 1, (rows, tensor.size)) for tensor in model.describe().inputs}
    if "t" in columns:
        columns["t"] = np.cumsum(columns["t"], axis=1) / 10
    return np.hstack([np.zeros((rows, 0)), *columns.values()])


@pytest.mark.parametrize("which", MODELS)
def test_schedules_are_carried_out(which):
    """The loops give the values of the program, for whatever is read between the steps, at once or in a derivative."""
    model = MODELS[which]
    schedule = stage(model, "schedule")
    parameters = np.full(schedule.program.parameter_count, 0.7)
    targets = np.ones((2, sum(tensor.size for tensor in schedule.program.targets)))
    assert carried_out(schedule, parameters, samples(model, 2), targets) is None


def test_memory_does_not_grow_with_the_steps():
    """A tile, and a single sample, keep the states of one step, and of all steps only where intervals begin."""
    few, many = (stage(lorenz(steps), "schedule", fit=False) for steps in (10, 110))
    assert (few.layout.tile, many.layout.tile) == (LONG_TILE, LONG_TILE)
    for kernel, longer in zip(few.kernels, many.kernels, strict=True):
        assert longer.memory.arrays - kernel.memory.arrays < 300 + 2 * few.layout.padding
    predicted, longer = few.single_sample.predict, many.single_sample.predict
    assert longer.memory.arrays - predicted.memory.arrays < 2 * few.layout.padding


@pytest.mark.parametrize("start", [None, 0.0])
@pytest.mark.parametrize("equation", ["u'' = -u + sin(3*t)", "u'' = -k*u - t*u'"])
def test_memory_of_rates_that_depend_on_time(equation, start):
    """The times between steps keep one row as well, in simulations and in predictions of models with parameters."""

    def kept(steps):
        parameters = {"k": 2} if "k" in equation else {}
        options = {"observed": "u", "times": 3, "start": start, "steps": steps, "name": "driven"}
        return stage(nn.Dynamics(equation, {"u": 1, "u'": 0}, parameters, **options), "schedule", fit=False)

    few, many = kept(10), kept(110)
    assert many.kernels[0].memory.arrays < 100 * many.layout.tile
    assert many.kernels[0].memory.arrays / many.layout.tile - few.kernels[0].memory.arrays / few.layout.tile < 50


def test_derivatives_still_have_all_steps():
    """The reverse sweep reads the states of all steps, which have a row each; a tile is as short as before."""
    model = nn.Dynamics("u' = -k*u", {"u": 1}, {"k": 2}, times=3, steps=50)
    schedule = stage(model, "schedule", fit=False)
    predict, _, gradient = schedule.kernels
    assert predict.memory.arrays < 20 * schedule.layout.tile + 150
    assert gradient.memory.arrays > 150 * schedule.layout.tile
    assert schedule.layout.tile < LONG_TILE


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_solutions_of_many_samples(precision):
    """They are those of a loop over steps in NumPy, in whole tiles and in the last one, and do not depend on others."""
    X = samples(LORENZ, 2 * LONG_TILE + 5)
    module = built(LORENZ, precision, fit=False)
    predicted = module.predict([], X.astype(precision))
    expected = [[u[0] for u in trajectory(rates(r), [1.0, 0.0, 0.0], times, steps=4, start=0.0)] for *times, r in X]
    np.testing.assert_allclose(predicted, expected, rtol=1e-12 if precision == "float64" else 1e-4)
    for row, path in zip(X[:3].astype(precision), expected, strict=False):
        alone = module.predict([], row[np.newaxis])[0]
        np.testing.assert_allclose(alone, path, rtol=1e-12 if precision == "float64" else 1e-4)
    among = module.predict([], np.vstack([X[:1], X[7:8], X[:1]]).astype(precision))
    np.testing.assert_array_equal(among[[0, 2]], predicted[[0, 0]])


# --- values that stay for some steps ------------------------------------------------------------------------------


def held(kernel):
    """The tensors that a kernel writes only where a condition holds, and the others of the loops over time."""
    conditional, rest = [], []
    for loop in (each for each in walk(kernel.trees.tile) if isinstance(each, Loop) and each.way is Way.IN_ORDER):
        for statement in loop.body:
            where = isinstance(statement, If) and isinstance(statement.condition, Holds)
            (conditional if where else rest).extend(e.tensor for e in targets([statement]))
    return {*conditional}, {*rest}


@pytest.mark.parametrize(
    ("which", "names"),
    {
        "an input": {"step_length"},
        "no start": {"step_length"},
        "a held column": {"step_length", "f_held"},
        "a column": {"step_length", "f_step"},
        "one step": set(),
        "no steps": set(),
    }.items(),
)
def test_values_that_stay_are_written_where_they_change(which, names):
    """So are those that only these read; each of them has one condition for all samples, and no other loop."""
    predict = stage(MODELS[which], "schedule", fit=False).kernels[0]
    conditional, rest = held(predict)
    assert {name for name in conditional if not name.endswith("_placed")} == names, (conditional, rest)
    assert conditional >= {f"{name}_placed" for name in names}
    assert not conditional & rest


def test_values_of_all_steps_are_written_in_each():
    """A derivative reads the lengths of all steps, which lie in rows of their own: each row is written."""
    predict, loss, gradient = stage(nn.Dynamics("u' = -k*u", {"u": 1}, {"k": 2}, times=3, steps=5), "schedule").kernels
    assert "step_length" in held(predict)[0]
    assert "step_length" in held(loss)[0]
    assert "step_length" in held(gradient)[1]


@pytest.mark.parametrize(
    ("which", "precision"),
    [
        ("an input", "float64"),
        ("a held column", "float32"),
        ("a column", "float64"),
        pytest.param("an input", "float32", marks=pytest.mark.thorough),
        pytest.param("a held column", "float64", marks=pytest.mark.thorough),
        pytest.param("a column", "float32", marks=pytest.mark.thorough),
    ],
)
def test_where_values_are_written_changes_no_bit(which, precision, monkeypatch):
    """Predictions have the same bits if each sample chooses in each step between the new value and the last one."""
    model = MODELS[which]
    X = samples(model, 2 * LONG_TILE + 5).astype(precision)
    predicted = built(model, precision, fit=False).predict([], X)
    rewrites = tuple(each for each in TILE.rewrites if each is not sink_until_last_write)
    monkeypatch.setattr(loops, "TILE", replace(TILE, rewrites=rewrites))
    fresh = nn.compile_model(model, precision, until="schedule", fit=False)["schedule"]
    assert held(fresh.kernels[0])[0] == set()
    chosen = copy(model)
    chosen.name = f"{model.name}_chosen"  # the cache knows modules by their models
    chosen = nn.build(chosen, precision, fit=False, force=True)
    np.testing.assert_array_equal(chosen.predict([], X), predicted)


def changed(kernel, change):
    """A kernel whose conditions on values are other ones."""

    def rule(statement):
        holds = isinstance(statement.condition, Holds)
        return (replace(statement, condition=Holds(change(statement.condition.relation))) if holds else statement,)

    return replace(kernel, trees=kernel.trees.each(lambda tree: rewritten(tree, {If: rule})))


def test_a_value_that_is_written_at_another_time_is_found(monkeypatch):
    """If a length were written in each step, or never, the certificate would name the step that reads it."""
    for change in (lambda relation: Ge(relation.lhs, 0), lambda relation: Gt(relation.lhs, 1)):

        def faulty(kernel, program, layout, change=change):
            return changed(sink_until_last_write(kernel, program, layout), change)

        rewrites = tuple(faulty if each is sink_until_last_write else each for each in TILE.rewrites)
        monkeypatch.setattr(loops, "TILE", replace(TILE, rewrites=rewrites))
        schedule = nn.compile_model(LORENZ, until="schedule", fit=False)["schedule"]
        fault = carried_out(schedule, np.zeros(0), samples(LORENZ, 2), np.ones((2, 3)))
        assert fault is not None
        assert fault.stage == "schedule"


def test_a_condition_that_reads_nothing_is_refused():
    """A tree is refused whose condition reads a value before it is written."""
    schedule = stage(LORENZ, "schedule", fit=False)
    read = Element("x", ("n", "0"))
    broken = changed(schedule.kernels[0], lambda relation: Gt(read, 0))
    with pytest.raises(ProgramError, match=r"x\[n, 0\] is read before it is written, in: if x\[n, 0\] > 0"):
        verify_trees(broken, schedule.program, schedule.layout)


# --- which values share a row -------------------------------------------------------------------------------------

TIME = "t"


def element(name, time=TIME):
    return Element(name, ("n", time))


def rows(*steps, after=(), apart=()):
    """The tensors that share a row: steps in the loops of a time, with a recurrence for each name that ends in 0."""
    read = {operand.tensor for step in (*steps, *apart) for operand in step.operands}
    carried = tuple(
        Carry(Step(element(name), element(name[0]), "before", (TIME,))) for name in sorted(read) if "0" in name
    )
    parts = [Compute(tuple(each), samples=True) for each in (steps, apart) if each]
    loop = Loop(TIME, 9, (*carried, *parts), Way.IN_ORDER)
    sites = [Site(part, loop) for part in parts]
    return in_same_row([*sites, *(Site(Compute((step,), samples=True)) for step in after)], ())


def test_a_value_that_is_replaced_where_it_is_read():
    """One row holds the values of both times, if the last one is read by what replaces it, or before."""
    half = Step(element("h"), element("u0") / 2)
    assert rows(Step(element("u"), element("u0") + 1)) == {"u"}
    assert rows(half, Step(element("u"), element("h") + 1)) == {"u"}
    assert rows(Step(element("u"), element("u0") + 1), Step(element("w"), element("u") * 2)) == {"u"}


def test_values_that_are_read_after_they_are_replaced():
    """Two states that change places keep all rows of the one that the other reads, and so does what is read later."""
    swapped = Step(element("u"), element("v0")), Step(element("v"), element("u0"))
    assert rows(*swapped) == {"v"}
    assert rows(swapped[0], apart=swapped[1:]) == {"v"}
    later = Step(Element("y", "n"), Element("u", ("n", "8")))
    assert rows(Step(element("u"), element("u0") + 1), after=[later]) == frozenset()
    earlier = Step(element("u"), element("u0") + 1), Step(element("w"), Element("u", ("n", "(t - 1)")))
    assert rows(*earlier) == frozenset()


def test_a_part_of_the_loops_that_reads_late():
    """Where loops may be cut, what is read in a later part is read too late, although its step comes first."""
    steps = Step(element("h"), element("u0") / 2), Step(element("u"), element("u0") + 1)
    compute = Compute(steps, samples=True, cuts=(frozenset("u"), frozenset("h")))
    carry = Carry(Step(element("u0"), element("u"), "before", (TIME,)))
    site = Site(compute, Loop(TIME, 9, (carry, compute), Way.IN_ORDER))
    assert in_same_row([site], ()) == frozenset()
    assert in_same_row([replace(site, compute=replace(compute, cuts=()))], ()) == {"u"}


def test_a_value_that_is_read_too_late_is_told():
    """Trees are refused in which a statement reads a value that the current time has overwritten."""
    schedule = stage(LORENZ, "schedule", fit=False)
    predict = schedule.kernels[0]
    last, now = next(
        (step.target, step.operands[0]) for step in schedule.program.steps if step.target.tensor == "x_before"
    )

    def late(loop):
        stores = loop.way is Way.INDEPENDENT and any(getattr(each, "target", None) == now for each in loop.body)
        more = (Let(Element("late", last.indices), Value((last,))),) if stores else ()
        return (replace(loop, body=(*loop.body, *more)),)

    broken = replace(predict, trees=predict.trees.each(lambda tree: rewritten(tree, {Loop: late})))
    assert broken.trees != predict.trees
    with pytest.raises(ProgramError, match=r"x_before\[n, m\] is read where a later value has overwritten it"):
        verify_trees(broken, schedule.program, schedule.layout)


# --- the memory of states -----------------------------------------------------------------------------------------

LATE = nn.Sequential([nn.LSTM(6, lambda value: tanh(sin(value))), nn.Dense(1)], (3, 2), name="late")
"""A network whose loops over a time leave values to later ones after they have read the states for the last time."""

STACK = nn.Sequential(
    [nn.LSTM(6, return_sequences=True), nn.GRU(6, return_sequences=True), nn.SimpleRNN(6), nn.Dense(1)],
    (3, 2),
    name="stack",
)
"""Recurrent layers on each other."""

KIND = st.tuples(st.integers(1, 2), st.booleans(), st.booleans(), st.integers(0, 3))

TOGETHER = {
    "one reads the other": [(1, False, True, 2), (1, False, False, 0)],
    "products": [(1, True, True, 0), (1, True, True, 1), (1, True, True, 0)],
    "past one": [(1, False, False, 3), (1, True, False, 1), (2, False, True, 0)],
}


@pytest.mark.parametrize("name", ["late", "stack", *TOGETHER])
def test_the_next_time_reads_states(name):
    """The memory of a state is not free after its last reader of a time, also where loops are cut."""
    check_states(states(TOGETHER[name]) if name in TOGETHER else {"late": LATE, "stack": STACK}[name].describe())


def test_layers_on_each_other_share_a_loop():
    """Predictions by a stack need no values of all times but those of the last layer."""
    predict = stage(STACK, "schedule", fit=False).kernels[0]
    loops = [each for each in walk(predict.trees.tile) if isinstance(each, Loop) and each.way is Way.IN_ORDER]
    assert len(loops) == 1
    rows = {name: predict.storage[name].strides[1] for name in ("h1", "c1", "h2", "h3")}
    assert [name for name, stride in rows.items() if stride] == ["h3"]


@pytest.mark.thorough
@given(st.lists(KIND, min_size=2, max_size=4))
@settings(max_examples=20)
def test_the_next_time_reads_random_states(kinds):
    """So it is for states that read each other in any way."""
    check_states(states(kinds))


def check_states(model):
    compiled = nn.compile_model(Described(model), until="schedule", fit=False)
    assert carried_out(compiled["schedule"], *data(model, samples=5)) is None


def test_memory_of_a_state_that_is_taken_is_told():
    """Trees are refused in which a value that one part of loops leaves to the next takes the place of a state."""
    schedule = stage(LATE, "schedule", fit=False)
    predict = schedule.kernels[0]
    state = predict.storage["c1"]
    left = next(name for name in sorted(predict.memory.crossing) if predict.storage[name].strides == state.strides)
    assert left not in {"c1", "c_before1"}
    broken = replace(predict, storage={**predict.storage, left: state})
    with pytest.raises(ProgramError, match=f"where loops are cut: c1 and {left} lie in the same memory"):
        verify_trees(broken, schedule.program, schedule.layout)


def test_a_row_that_should_be_many_is_found(monkeypatch):
    """If all times shared a row, although later loops read each, the certificate of the loops would tell."""
    every = lambda sites, kept: {step.operands[0].tensor for site in sites for step in site.carried}  # noqa: E731
    monkeypatch.setattr("nncodegen.compiler.schedule.places.in_same_row", every)
    schedule = nn.compile_model(MODELS["one step"], until="schedule", fit=False)["schedule"]
    fault = carried_out(schedule, np.zeros(0), samples(MODELS["one step"], 2), np.ones((2, 3)))
    assert fault is not None
    assert fault.stage == "schedule"
