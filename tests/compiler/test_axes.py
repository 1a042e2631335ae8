"""What is decided about loops when all places are known: roles, ends, padding, statements, and what runs instead."""

import pytest
import sympy

import nncodegen as nn
from nncodegen.ir import SAMPLE, Element, needed
from nncodegen.passes.latency import ready
from nncodegen.perceptron import model as perceptron_model
from nncodegen.schedule import FORMULA, LAYERS, NO_CHOICES, SINGLE_SAMPLE, Filling, Place, Role, Shape, When
from nncodegen.schedule.formulas import WINDOW, cost, in_loops, shared
from nncodegen.schedule.nest import SHORT, Samples

a, b, c, x, y = sympy.symbols("a b c x y")


def scheduled(model, precision="float64", choices=NO_CHOICES):
    return nn.compile_model(model, precision, until="schedule", choices=choices)["schedule"]


def network(*units, inputs=8, last="linear", activation="tanh"):
    layers = [*(nn.Dense(width, activation) for width in units[:-1]), nn.Dense(units[-1], last)]
    loss = "categorical_crossentropy" if last == "softmax" else "mse"
    return nn.Sequential(layers, inputs, loss)


def nests_of(kernel):
    return [variant for nest in kernel.nests_with_metrics for variant in nest.variants if variant.axes]


MODELS = {
    "features": network(16, 8, 3),
    "samples": network(3, 3, last="softmax", inputs=4),
    "ragged": network(13, 5, inputs=7),
    "perceptron": perceptron_model,
}


@pytest.mark.parametrize("name", MODELS)
def test_every_loop_has_a_role_and_an_end(name):
    """Each index of a nest has one axis; along vectors runs one index, and it ends no later than the last vector."""
    schedule = scheduled(MODELS[name])
    for kernel in schedule.kernels:
        for nest in nests_of(kernel):
            assert [axis.index for axis in nest.axes] == [*nest.loops, *nest.unrolled]
            assert sum(axis.role is Role.VECTOR for axis in nest.axes) <= 1
            for axis in nest.axes:
                size = schedule.program.sizes[axis.index]
                ends = (Samples.GIVEN, Samples.PADDED) if size is None else (size, schedule.layout.padded(size))
                assert axis.end in ends, (str(axis), nest.steps)
                assert axis.short == (isinstance(axis.end, int) and axis.end <= SHORT)


@pytest.mark.parametrize("name", MODELS)
def test_rows_from_outside_end_where_they_end(name):
    """No loop reads or writes rows of the caller behind their last value, nor outputs behind the last sample."""
    schedule = scheduled(MODELS[name])
    outside = (Place.INPUT, Place.TARGET, Place.OUTPUT, Place.GRADIENT)
    for kernel in schedule.kernels:
        for nest in (nest for nest in nests_of(kernel) if nest.shape is Shape.LOOPS):
            touched = {e for step in nest.steps for e in (step.target, *step.operands) if kernel.place(e) in outside}
            for index in {index for element in touched for index in element.indices} - {SAMPLE, *nest.unrolled}:
                assert nest.axis(index).end == schedule.program.sizes[index]
            if any(kernel.place(element) is Place.OUTPUT for element in touched):
                assert nest.axis(SAMPLE).end is Samples.GIVEN


def test_what_vectors_read_behind_the_samples_is_defined():
    """Arrays that are read along the samples have the last sample again behind them; what has weights has zeros."""
    kernel = scheduled(network(40, 3, last="softmax"), "float64", {"features": ["j"]}).gradient
    padded = {e.tensor: p.filling for nest in nests_of(kernel) for p in nest.padding for e in p.arrays}
    along = {
        operand.tensor
        for nest in kernel.tile
        if nest.innermost == SAMPLE and nest.shape is Shape.LOOPS
        for step in nest.steps
        for operand in step.operands
        if kernel.place(operand) is Place.ARRAY
    }
    made = {s.target.tensor: nest for nest in kernel.tile for s in nest.steps}
    assert along
    for tensor in along:
        ends = tensor in padded or made[tensor].axis(SAMPLE).end is Samples.PADDED
        assert ends or made[tensor].shape in (Shape.CONTRACT, Shape.PACK), tensor  # these pad what they compute
    assert set(padded.values()) <= set(Filling)


def test_few_samples_need_no_copy_of_weights():
    """A layer whose weights lie along its inputs has dot products for few samples, and its copy is for many."""
    kernel = scheduled(network(16, 16, 3), choices={"transposed": False}).kernels[0]
    (product,) = (nest for nest in kernel.tile if nest.steps[0].target.tensor == "s1")
    assert (product.branch.when, product.branch.then.shape) == (When.FEW, Shape.DOT_PRODUCTS)
    assert product.branch.otherwise.shape is Shape.CONTRACT
    read = {kernel.place(element) for element in product.branch.then.steps[0].operands}
    assert read == {Place.PARAMETER, Place.INPUT}
    (copy,) = (nest for nest in kernel.before if nest.steps[0].target in product.steps[0].operands)
    assert (copy.branch.when, copy.branch.otherwise) == (When.MANY, None)
    assert copy in kernel.prepared


def test_products_of_blas_run_in_blocks_without_one():
    """BLAS reads weights as they are, and copies for blocks are made only where there is no BLAS."""
    schedule = scheduled(network(40, 40, 2), choices={"blas": True})
    assert schedule.calls_blas
    for kernel in schedule.kernels:
        products = [nest for nest in kernel.tile if nest.shape is Shape.BLAS]
        assert products
        for nest in products:
            assert nest.branch.when is When.BLAS
            assert not set(kernel.copies) & set(nest.branch.then.steps[0].operands)
            assert nest.branch.otherwise.shape in (Shape.CONTRACT, Shape.ACCUMULATE, Shape.DOT_PRODUCTS_OF_SAMPLES)
        assert {nest.branch.when for nest in kernel.before if nest.shape is Shape.PACK} <= {When.NO_BLAS}


def test_what_the_loss_alone_needs_runs_on_request():
    """Where the loss is not wanted, a nest of the gradient computes what is left of it, or does not run."""
    kernel = scheduled(MODELS["features"]).gradient
    branches = [nest.branch for nest in kernel.tile if nest.branch and nest.branch.when is When.LOSS]
    assert branches
    for branch in branches:
        left = branch.otherwise.steps if branch.otherwise else ()
        assert {*left} == {step for step in branch.then.steps if step.target.tensor not in kernel.of_loss}


def test_statements_are_what_steps_say():
    """Each value of a nest has one statement, and terms that are added to one other value begin with that."""
    schedule = scheduled(network(3, 2, inputs=2))
    kernel = schedule.kernels[0]
    statements = [s for nest in kernel.tile for part in nest.statements for s in part]
    assert len({s.target for s in statements}) == len(statements)
    z1 = [s for s in statements if s.target.tensor == "z1"]
    assert [s.target.indices for s in z1] == [(SAMPLE, str(unit)) for unit in range(3)]
    assert all(s.terms[0] == Element("b1", [s.target.indices[1]]) and len(s.terms) == 3 for s in z1)
    assert not any(s.target.tensor == "s1" for s in statements)  # its terms are in these


def test_plans():
    """Every kernel says what its axes do, and --dump shows it."""
    schedule = scheduled(network(16, 3))
    assert {kernel.plan.samples for kernel in schedule.kernels} == {Role.TILED}
    assert schedule.single_sample.predict.plan == schedule.single_sample.gradient.plan == SINGLE_SAMPLE
    assert schedule.side_by_side.kernel.plan == LAYERS
    formula = scheduled(perceptron_model)
    assert formula.side_by_side.kernel.plan == FORMULA
    for plan in ("tile", "single sample", "models side by side, layers"):
        assert f"  {plan}: samples " in schedule.show()
    for plan in ("unrolled", "models side by side, formula"):
        assert f"  {plan}: samples absent, units written out" in formula.show()


def test_loops_over_models_are_short():
    """Statements of a group of models stand in loops that a core overlaps; what goes across lies in arrays."""
    group = scheduled(perceptron_model).side_by_side
    kernel = group.kernel
    assert len(kernel.tile) > 2
    for nest in kernel.tile:
        assert len(nest.steps) == 1 or sum(map(cost, nest.steps)) <= WINDOW
    loops = [nest.steps for nest in kernel.tile]
    arrays = {name for name, storage in kernel.storage.items() if storage.place is Place.ARRAY}
    assert {*shared(loops)} == arrays
    steps = [step for loop in loops for step in loop]
    assert [step for loop in in_loops(steps) for step in loop] == steps


def test_one_parameter_after_the_other():
    """What an update of one parameter has not changed is not computed again for the next one."""
    f = a * sympy.exp(b * x) + c
    line = scheduled(nn.Model("curve", [x], [y], {a: 1.0, b: 0.1, c: 0.0}, f, (f - y) ** 2)).unrolled
    assert [update.parameter.tensor for update in line.sequential] == ["a", "b", "c"]
    functions = [any(step.expression.has(sympy.exp) for step in update.steps) for update in line.sequential]
    assert functions == [True, False, True]  # neither a nor its own update changes exp(b*x), b does
    known = dict.fromkeys(line.ready, 0) | dict(line.ready)
    for step in line.steps:
        assert ready(step.expression, known) == line.ready[step.target]
        assert needed(line.steps, [step.target])[-1] == step


def test_what_holds_in_a_training():
    """Penalties are for weights alone; plain descent changes parameters in place; a logarithm keeps small numbers."""
    schedule = scheduled(network(16, 3))
    assert schedule.penalized == ((0, 128), (144, 192))  # W1, and W2 behind b1
    assert schedule.descent.update == [u.name for u in schedule.program.updates].index("sgd")
    assert schedule.flushes_subnormals
    logarithm = sympy.log(x) * a
    assert not scheduled(nn.Model("log", [x], [y], {a: 1.0}, logarithm, (logarithm - y) ** 2)).flushes_subnormals
    assert "subnormal numbers count as zero in a training" in schedule.show()


@pytest.mark.parametrize("choices", [{}, {"features": []}, {"blas": True}, {"blas": True, "features": []}], ids=str)
@pytest.mark.parametrize("units", [(16, 3), (40, 40, 2), (3, 3)], ids=str)
def test_samples_one_by_one_see_the_same_parameters(units, choices):
    """Where a batch is taken from the parameters while it is summed up, no two samples are taken one by one."""
    schedule = scheduled(network(*units), choices=choices)
    alone = schedule.single_sample and schedule.single_sample.gradient
    assert not alone or schedule.single_sample.samples == 1 or schedule.descent.samples == 1
