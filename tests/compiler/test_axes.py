"""What lowering decides when all places are known: where loops end, padding, statements, and what runs instead."""

import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.ir import SAMPLE, Element, Step, needed
from nncodegen.compiler.passes.latency import ready
from nncodegen.compiler.schedule import FORMULA, LAYERS, NO_CHOICES, SINGLE_SAMPLE, Place, Role, Shape, When
from nncodegen.compiler.schedule.formulas import WINDOW, cost, in_loops, shared
from nncodegen.compiler.schedule.text import show
from nncodegen.compiler.schedule.tree import Call, Fill, Group, If, Let, Load, Loop, Store, Way
from nncodegen.compiler.schedule.tree_walks import bodies, elements, targets, walk
from nncodegen.perceptron import model as perceptron_model

a, b, c, x, y = sympy.symbols("a b c x y")


def scheduled(model, precision="float64", choices=NO_CHOICES):
    return nn.compile_model(model, precision, until="schedule", choices=choices)["schedule"]


def network(*units, inputs=8, last="linear", activation="tanh"):
    layers = [*(nn.Dense(width, activation) for width in units[:-1]), nn.Dense(units[-1], last)]
    loss = "categorical_crossentropy" if last == "softmax" else "mse"
    return nn.Sequential(layers, inputs, loss)


def statements_of(kernel):
    """All statements of a kernel, each with the loops around it."""

    def within(tree, loops):
        for statement in tree:
            yield statement, loops
            inner = (*loops, statement) if isinstance(statement, Loop) else loops
            for body in bodies(statement):
                yield from within(body, inner)

    for _, tree in kernel.trees.functions:
        yield from within(tree, ())


def groups_of(kernel):
    return {s.steps[0].target.tensor: s for s, _ in statements_of(kernel) if isinstance(s, Group) and s.steps}


MODELS = {
    "features": network(16, 8, 3),
    "samples": network(3, 3, last="softmax", inputs=4),
    "ragged": network(13, 5, inputs=7),
    "perceptron": perceptron_model,
}


@pytest.mark.parametrize("name", MODELS)
def test_every_loop_has_an_end(name):
    """A loop ends after its last value, or after the last vector; the innermost alone runs at once."""
    schedule = scheduled(MODELS[name])
    for kernel in schedule.kernels:
        for loop, around in statements_of(kernel):
            if isinstance(loop, Loop):
                size = schedule.program.sizes[loop.index]
                ends = ("count", "padded") if size is None else (size, schedule.layout.padded(size))
                assert loop.end in ends, show([loop])
                assert all(other.way is Way.IN_TURN for other in around)


@pytest.mark.parametrize("name", MODELS)
def test_rows_from_outside_end_where_they_end(name):
    """No loop reads or writes rows of the caller beyond their last value, nor outputs beyond the last sample."""
    schedule = scheduled(MODELS[name])
    outside = (Place.INPUT, Place.TARGET, Place.OUTPUT, Place.GRADIENT)
    for kernel in schedule.kernels:
        for statement, loops in statements_of(kernel):
            ends = {loop.index: loop.end for loop in loops}
            for element in elements([statement]) if isinstance(statement, Load | Store) else ():
                if kernel.place(element) in outside:
                    for index in {*element.indices} & {*ends} - {SAMPLE}:
                        assert ends[index] == schedule.program.sizes[index]
                    if kernel.place(element) is Place.OUTPUT:
                        assert ends[SAMPLE] == "count"


def test_what_vectors_read_after_the_samples_is_defined():
    """Arrays that are read along the samples have the last sample again after them; what has weights has zeros."""
    kernel = scheduled(network(40, 3, last="softmax"), "float64", {"features": ["j"]}).gradient
    filled = {s.target.tensor for s, _ in statements_of(kernel) if isinstance(s, Fill)}
    filled |= {
        s.target.tensor
        for s, loops in statements_of(kernel)
        if isinstance(s, Store) and loops and loops[-1].begin == "count"
    }
    computed = {
        s.target.tensor
        for s, loops in statements_of(kernel)
        if isinstance(s, Let | Store) and "padded" in {loop.end for loop in loops if loop.begin == 0}
    }
    called = {s.steps[-1].target.tensor for s, _ in statements_of(kernel) if isinstance(s, Call)}  # they pad
    along = {
        element.tensor
        for statement, loops in statements_of(kernel)
        if isinstance(statement, Let | Store) and loops and loops[-1].end == "padded"
        for element in statement.value.operands
        if kernel.place(element) is Place.ARRAY
    }
    assert along
    assert along <= filled | computed | called


def test_few_samples_need_no_copy_of_weights():
    """A layer whose weights lie along its inputs has dot products for few samples, and its copy is for many."""
    kernel = scheduled(network(16, 16, 3), choices={"transposed": False}).kernels[0]
    (product,) = groups_of(kernel)["s1"].body
    (few,), (blocks,) = product.body, product.otherwise
    assert (product.condition, few.shape, blocks.shape) == (When.FEW, Shape.DOT_PRODUCTS, Shape.CONTRACT)
    assert {kernel.place(element) for element in few.steps[0].operands} == {Place.PARAMETER, Place.INPUT}
    (copied,) = (e.tensor for e in blocks.steps[0].operands if SAMPLE not in e.indices)
    together = [s for s, _ in statements_of(kernel) if isinstance(s, If) and s.condition is When.MANY]
    assert copied in {e.tensor for e in targets(together)}
    assert not any(condition.otherwise for condition in together)


def test_products_of_blas_run_in_blocks_without_one():
    """BLAS reads weights as they are, and copies for blocks are made only where there is no BLAS."""
    schedule = scheduled(network(40, 40, 2), choices={"blas": True})
    assert schedule.calls_blas
    for kernel in schedule.kernels:
        conditionals = [s for s, _ in statements_of(kernel) if isinstance(s, If)]
        products = [s for s in conditionals if s.condition is When.BLAS]
        assert products
        packs = [s for s in walk(kernel.trees.before[0]) if isinstance(s, Call) and s.shape is Shape.PACK]
        for product in products:
            assert product.body[0].shape is Shape.BLAS
            assert not set(targets(packs)) & set(product.body[0].steps[0].operands)
            (blocks,) = product.otherwise
            assert blocks.shape in (Shape.CONTRACT, Shape.ACCUMULATE, Shape.DOT_PRODUCTS_OF_SAMPLES)
        copies = {e for s in conditionals if s.condition is When.NO_BLAS for e in targets([s])}
        assert copies == set(targets(packs))


def test_statements_are_what_steps_say():
    """Each value of a nest has one statement, and terms that are added to one other value begin with that."""
    schedule = scheduled(network(3, 2, inputs=2))
    kernel = schedule.kernels[0]
    assignments = [
        s
        for s, _ in statements_of(kernel)
        if isinstance(s, Let) or (isinstance(s, Store) and s.value.terms != (s.target,))
    ]
    assert len({s.target for s in assignments}) == len(assignments)
    z1 = [s for s in assignments if s.target.tensor == "z1"]
    assert [s.target.indices for s in z1] == [(SAMPLE, str(unit)) for unit in range(3)]
    assert all(s.value.terms[0] == Element("b1", [s.target.indices[1]]) and len(s.value.terms) == 3 for s in z1)
    assert not any(s.target.tensor == "s1" for s in assignments)  # its terms are in these


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
    loops = [each.steps for each in walk(kernel.trees.tile) if isinstance(each, Group) and each.steps]
    assert len(loops) > 2
    for steps in loops:
        assert len(steps) == 1 or sum(map(cost, steps)) <= WINDOW
    arrays = {name for name, storage in kernel.storage.items() if storage.place is Place.ARRAY}
    assert {*shared(loops)} == arrays
    steps = [step for loop in loops for step in loop]
    assert [step for loop in in_loops(steps) for step in loop] == steps


def test_one_parameter_after_the_other():
    """What an update of one parameter has not changed is not computed again for the next one."""
    f = a * sympy.exp(b * x) + c
    line = scheduled(nn.Model("curve", [x], [y], {a: 1.0, b: 0.1, c: 0.0}, f, (f - y) ** 2)).unrolled
    assert [update.parameter.tensor for update in line.sequential] == ["a", "b", "c"]
    turns = {turn.parameter: [s for s in turn.tree if isinstance(s, Let)] for turn in line.sequential}
    lets = [[let for let in turn_lets if let.target != parameter] for parameter, turn_lets in turns.items()]
    functions = [any(let.value.terms[0].has(sympy.exp) for let in turn_lets) for turn_lets in lets]
    assert functions == [True, False, True]  # neither a nor its own update changes exp(b*x), b does
    known = dict.fromkeys(line.ready, 0) | dict(line.ready)
    steps = [Step(let.target, let.value.terms[0]) for let in line.together if isinstance(let, Let)]
    for step in steps:
        assert ready(step.expression, known) == line.ready[step.target]
        assert needed(steps, [step.target])[-1] == step


def test_what_holds_in_a_training():
    """Penalties are for weights alone; plain descent changes parameters in place; a logarithm keeps small numbers."""
    schedule = scheduled(network(16, 3))
    assert schedule.penalized == ((0, 128), (144, 192))  # W1, and W2 after b1
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
