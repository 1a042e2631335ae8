"""Loops and places."""

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.ir import SAMPLE, Element, Step
from nncodegen.compiler.schedule import NO_CHOICES, Place, Shape
from nncodegen.compiler.schedule.arrays import Arrays
from nncodegen.compiler.schedule.rewrites.split import SHORT
from nncodegen.compiler.schedule.tree import Compute
from nncodegen.compiler.schedule.tree_walks import Site, computes, steps_in
from tests.support.built import stage
from tests.support.models import gradient_of, random_data
from tests.support.placed import in_all, in_tile, placed

pytestmark = pytest.mark.usefixtures("quick_compiler")


def scheduled(model, choices=NO_CHOICES):
    return stage(model, "schedule", **choices)


NETWORK = nn.Sequential([nn.Dense(4, "tanh"), nn.Dense(3, "softmax")], 5, "categorical_crossentropy")
a, b, x, y = sympy.symbols("a b x y")
FORMULA = nn.Model("m", [x], [y], {a: 1.0, b: 2.0}, a * x + b, (a * sympy.tanh(b * x) - y) ** 2)


def test_a_formula_is_one_loop_without_arrays():
    """All steps of a formula share one loop over samples; every value but the output is a local variable."""
    for kernel in placed(FORMULA).kernels:
        assert [loop.outer for loop in in_tile(kernel)] == [()]
        arrays = {name for name, storage in kernel.storage.items() if storage.place is Place.ARRAY}
        assert arrays == {element.tensor for element in kernel.outputs}


def test_what_metrics_need_alone_runs_apart():
    """Loops of a tile compute nothing for metrics that the loss and the gradient do not need as well."""
    predict, loss, gradient = scheduled(FORMULA).kernels
    assert (predict.trees.measured, predict.outputs) == ((), ())
    for kernel in (loss, gradient):
        assert kernel.outputs == scheduled(FORMULA).program.outputs
        assert {step.target for step in steps_in(kernel.trees.measured)} >= set(kernel.outputs)
    network = scheduled(NETWORK)
    assert network.kernels[2].trees.measured == ()  # the gradient needs the outputs
    incomparable = nn.Model("m", [x], [y], {a: 1.0}, (a * x, a + x), (a * x - y) ** 2)
    assert [kernel.outputs for kernel in scheduled(incomparable).kernels] == [(), (), ()]


@pytest.mark.parametrize("model", [NETWORK, FORMULA], ids=["network", "formula"])
def test_every_value_is_ready_when_it_is_read(model):
    """Loops read what earlier ones or earlier steps of their own have computed; a reduction must be complete."""
    for kernel in placed(model).kernels:
        done = {
            name
            for name, s in kernel.storage.items()
            if s.place in (Place.PARAMETER, Place.INPUT, Place.TARGET, Place.WEIGHT)
        }
        for loops in in_all(kernel):
            mine = set()
            for step in loops.steps:
                assert all(operand.tensor in done | mine for operand in step.operands), step
                if not any(index in (*loops.reduced, SAMPLE) for index in step.over):
                    mine.add(step.target.tensor)
            done |= {step.target.tensor for step in loops.steps}


def deep(*units, activation="tanh"):
    layers = [nn.Dense(width, activation) for width in units[1:-1]]
    return nn.Sequential([*layers, nn.Dense(units[-1], "softmax")], units[0], "categorical_crossentropy")


@pytest.mark.parametrize(
    ("model", "choices"),
    [
        (NETWORK, {"features": []}),
        (NETWORK, {"features": ["j"]}),
        (NETWORK, {"features": ["i", "j"]}),
        (deep(3, 20, 7, 20, 3), {"features": []}),
        (deep(4, 3, 3, 2), {"features": []}),  # short indices are written out
        (deep(20, 20, 20, 20), {"features": []}),  # what comes after the outputs, which are kept, is of their size
        (deep(64, 32, 40, 32, 10), NO_CHOICES),
        (deep(9, 8, 8, 8, 8, 4, activation="selu"), NO_CHOICES),
        (deep(9, 40, 40, 2, activation="gelu"), {"blas": True}),
        (FORMULA, NO_CHOICES),
    ],
)
def test_arrays_are_not_written_over_before_they_are_read(model, choices):
    """Arrays may share memory, aligned, but what loops read is what was written for them last."""
    schedule = placed(model, **choices)
    for kernel in schedule.kernels:
        nests = [
            each for tree in (*kernel.trees.before, kernel.trees.tile, kernel.trees.measured) for each in computes(tree)
        ]
        targets = {step.target.tensor: step.target for nest in nests for step in nest.steps}
        places = {
            name: positions_of(storage, targets[name], schedule)
            for name, storage in kernel.storage.items()
            if storage.place is Place.ARRAY
        }
        assert all(kernel.storage[name].offset % schedule.tile == 0 for name in places)
        owner = np.full(kernel.memory.arrays, "", object)
        for nest in (*nests, *in_tile(kernel), *computes(kernel.trees.measured)):  # a second tile
            read = {e for step in nest.steps for e in step.operands if e.tensor in places}
            for step in nest.steps:
                for name in (element.tensor for element in step.operands if element.tensor in places):
                    assert (owner[places[name]] == name).all(), (nest.steps, name)
                if step.target.tensor not in places:
                    continue
                for element in read:  # values that it writes over are read in the same iteration of the same loops
                    if np.intersect1d(places[element.tensor], places[step.target.tensor]).size:
                        assert (nest.shape, nest.reduced) == (Shape.LOOPS, ())
                        assert element.indices == step.target.indices
                        strides = {kernel.storage[e.tensor].strides for e in (element, step.target)}
                        assert len(strides) == 1
                owner[places[step.target.tensor]] = step.target.tensor
        for element in kernel.outputs:
            assert (owner[places[element.tensor]] == element.tensor).all()


def positions_of(storage, element, schedule):
    """Where the values of an array lie: no two of them at one place."""
    shape = [schedule.tile if index == SAMPLE else schedule.program.sizes[index] for index in element.indices]
    positions = storage.offset + np.tensordot(storage.strides, np.indices(shape), 1).ravel()
    assert len(set(positions)) == len(positions)
    return positions


def test_arrays_share_memory():
    """A tile of four hidden layers needs little more memory than one of two, as arrays are used again."""
    two, four = (scheduled(deep(8, *hidden, 4), {"features": []}).kernels for hidden in ([16] * 2, [16] * 4))
    assert four[0].memory.arrays == two[0].memory.arrays  # of a prediction, one layer at a time
    assert four[2].memory.arrays < 1.8 * two[2].memory.arrays


@pytest.mark.parametrize(
    "widths",
    [(2, 3), *(pytest.param(each, marks=pytest.mark.thorough) for each in ((2, 2), (3, 3), (4, 4), (2, 3, 4)))],
)
def test_nothing_joins_a_sum_that_stays_alone(widths):
    """Layers of few units, written out, whose loops are full: what is left over gets loops of its own."""
    long = lambda z: nn.sigmoid(z) * nn.tanh(nn.softplus(z))  # noqa: E731
    layers = [nn.Dense(width, long) for width in widths]
    model = nn.Sequential([*layers, nn.Dense(3, "softmax")], 5, "categorical_crossentropy", name="full")
    for loops in (loops for kernel in placed(model).kernels for loops in in_tile(kernel)):
        assert not loops.sums or len(loops.steps) == 1
    module, program = nn.build(model), nn.compile_model(model, until="differentiate")["differentiate"]
    parameters, data = module.initial_parameters(1), random_data(program)[1:]
    exact = gradient_of(program, parameters, *data)
    assert module.loss_and_gradient(parameters, *data)[1] == pytest.approx(exact, rel=1e-11, abs=1e-13)


def test_a_reduction_writes_over_nothing_that_it_reads():
    """Each of its terms needs what it reads, while the sums of the terms before are in their places already."""
    a, b = Element("a", (SAMPLE, "k")), Element("b", (SAMPLE,))
    for over, offset in ((("k",), 64), ((), 0)):
        step = Step(Element("s", (SAMPLE,)), a * b, "sum" if over else None, over)
        first = Site(Compute((Step(b, sympy.S(1)),), samples=True))
        second = Site(Compute((step,), reduced=over, samples=True))
        arrays = Arrays([first, second], range(2), (), 64)
        assert arrays.place(first.compute.steps[0], first, 0, (1,), 64) == 0
        assert arrays.place(step, second, 1, (1,), 64) == offset


@pytest.mark.parametrize(("kept", "offsets"), [((), [0, 0, 0]), (("a",), [0, 64, 64]), (("a", "b"), [0, 64, 128])])
def test_what_is_kept_is_not_written_over(kept, offsets):
    """An array that is read when the tile is done has its memory alone, although no later loop reads it."""
    a, b, c = (Element(name, (SAMPLE,)) for name in "abc")
    steps = [Step(a, sympy.S(1)), Step(b, 2 * a), Step(c, 3 * b)]
    sites = [Site(Compute((step,), samples=True)) for step in steps]
    arrays = Arrays(sites, range(3), kept, 64)
    places = [arrays.place(step, site, k, (1,), 64) for k, (step, site) in enumerate(zip(steps, sites, strict=True))]
    assert places == offsets


def test_products_take_over_what_multiplies_them():
    """The derivative of an activation is multiplied where the product of a layer still is in registers."""
    gradient = placed(deep(9, 20, 20, 5)).kernels[2]
    fused = [each for each in in_tile(gradient) if each.shape is Shape.CONTRACT and len(each.steps) == 2]
    assert len(fused) == 2
    for each in fused:
        product, multiplied = each.steps
        assert product.target in multiplied.operands
        assert gradient.storage[product.target.tensor].place is Place.LOCAL
        assert gradient.storage[multiplied.target.tensor].place is Place.ARRAY


def test_layers_lie_as_their_width_suggests():
    """Wide layers have their features innermost, narrow ones their samples; classes always their samples."""
    wide = nn.Sequential([nn.Dense(64, "tanh"), nn.Dense(10, "softmax")], 32, "categorical_crossentropy")
    assert scheduled(wide).layout.features == ("j", "i")
    narrow = nn.Sequential([nn.Dense(2, "tanh"), nn.Dense(3, "softmax")], 2, "categorical_crossentropy")
    assert scheduled(narrow).layout.features == ()
    half = nn.Sequential([nn.Dense(32, "tanh"), nn.Dense(2, "softmax")], 4, "categorical_crossentropy")
    assert scheduled(half).layout.features == ("j",)  # four inputs fill half a vector


def test_choices_override_the_layout():
    """What is asked for is done, and shown."""
    schedule = scheduled(NETWORK, {"tile": 32, "features": ["j"]})
    assert (schedule.tile, schedule.layout.features) == (32, ("j",))
    assert "tiles of 32 samples" in schedule.show()
    assert "j (4): features innermost, as asked for" in schedule.show()


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"tiles": 32}, "no choice 'tiles'; there are: tile, features"),
        ({"tile": 24}, "multiple of 16 samples in float64, not 24"),
        ({"tile": True}, "not True"),
        ({"features": "j"}, "must be a list of indices, not 'j'; there are: j, i"),
        ({"features": ["k"]}, "'k' cannot run innermost; what can: j, i"),
    ],
)
def test_choices_that_cannot_be_meant(choices, message):
    """A choice that does not exist is an error that says what does."""
    with pytest.raises(nn.ModelError, match=message):
        scheduled(NETWORK, choices)


def test_show():
    """The choices and the loops print readably."""
    text = scheduled(NETWORK).show()
    assert text.startswith("tiles of 64 samples, 8 vectors, as samples run innermost\n")
    assert "kernel gradient" in text
    product = "s1[n, j] = sum(i) W1[j, i]*x tile[n, i]"
    assert f"    {product}\n      call blocks of outputs in registers: {product}\n" in text


def test_the_tile_follows_from_the_layout():
    """Tiles are longer where weights leave the first-level cache, or samples run innermost; the dump says why."""
    narrow = [nn.Dense(3, "tanh"), nn.Dense(1)]
    digits = [nn.Dense(32, "tanh"), nn.Dense(10)]
    for layers, inputs, precision, tile, why in (
        ([nn.Dense(40), nn.Dense(2)], 100, "float64", 64, "as features run innermost"),
        ([nn.Dense(41), nn.Dense(2)], 100, "float64", 128, "largest layer take 32,800 bytes"),
        (narrow, 4, "float64", 64, "8 vectors, as samples run innermost"),
        (narrow, 4, "float32", 128, "8 vectors, as samples run innermost"),
        (digits, 64, "float32", 32, "one of 64 samples through"),
        (digits, 64, "float64", 64, "as features run innermost"),  # no such tile stays in the cache
        ([nn.Dense(32), nn.Dense(1)], 4, "float32", 64, "as features run innermost"),  # both do
    ):
        compiled_model = nn.compile_model(nn.Sequential(layers, inputs), precision, until="schedule", fit=False)
        layout = compiled_model["schedule"].layout
        assert layout.tile == tile
        assert why in layout.show()
    assert "as asked for" in scheduled(nn.Sequential([nn.Dense(3)], 4), {"tile": 32}).layout.show()
    for terms, bits, tile in ((1, 64, 512), (10, 64, 256), (10, 32, 512), (40, 64, 64)):  # formulas
        waves = sum(sympy.Symbol(f"a{k}") * sympy.tanh(sympy.Symbol(f"b{k}") * x) for k in range(terms))
        parameters = dict.fromkeys(sorted(waves.free_symbols - {x}, key=str), 0.1)
        model = nn.Model("waves", [x], [y], parameters, waves, (waves - y) ** 2)
        assert nn.compile_model(model, f"float{bits}", until="schedule", fit=False)["schedule"].tile == tile


@pytest.mark.parametrize(
    ("hidden", "outputs", "precision"),
    [
        pytest.param(*widths, precision, marks=[] if number - 2 * other in (0, 1) else [pytest.mark.thorough])
        for number, widths in enumerate([(16, 1), (32, 2), (33, 3), (32, 10), (100, 5)])
        for other, precision in enumerate(("float64", "float32"))
    ],
)
def test_narrow_layers(hidden, outputs, precision):
    """Layers of few units after wider ones, transposed or not, compute what the evaluator does."""
    layers = [nn.Dense(hidden, "tanh"), nn.Dense(outputs, "softmax" if outputs > 1 else "sigmoid")]
    loss = "categorical_crossentropy" if outputs > 1 else "binary_crossentropy"
    model = nn.Sequential(layers, 7, loss, name=f"narrow_{hidden}_{outputs}")
    module = nn.build(model, precision)
    program = nn.compile_model(model, until="differentiate")["differentiate"]
    rng = np.random.default_rng(hidden)
    parameters = module.initial_parameters(1).astype(float)
    bound = 1e-12 if precision == "float64" else 2e-5
    for samples in (1, 5, 65, 130):
        X = rng.normal(size=(samples, 7)).astype(precision)
        Y = np.eye(max(outputs, 2))[rng.integers(0, max(outputs, 2), samples)][:, :outputs]
        values = nn.evaluate(program, parameters, X.astype(float), Y)
        predicted = module.predict(parameters, X)
        assert predicted == pytest.approx(
            np.asarray(values[program.outputs[0].tensor]).reshape(predicted.shape), rel=bound
        )
        loss_value, gradient = module.loss_and_gradient(parameters, X, Y)
        expected = np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient])
        assert loss_value == pytest.approx(float(values["loss"]), rel=bound)
        assert gradient == pytest.approx(expected, rel=bound, abs=bound * abs(expected).max())


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "silu", "softplus", "gelu", "elu", "softsign", "relu"])
def test_loops_over_units_hold_no_chains(activation):
    """Where units are computed, no function or division waits for a function of its loop; nothing else is cut."""
    layers = [nn.Dense(32, activation), nn.Dense(4)]
    for kernel in placed(nn.Sequential(layers, 8)).kernels:
        nests = [nest for nest in in_tile(kernel) if nest.shape is Shape.LOOPS and nest.outer and not nest.reduced]
        loops = [part for nest in nests for part in nest.parts]
        for loop in loops:
            later = set()  # what is computed from a function of this loop
            for step in loop:
                long = bool(step.expression.atoms(sympy.Function) - step.expression.atoms(*SHORT))
                waits = bool(later & {operand.tensor for operand in step.operands})
                assert not (waits and (long or any(p.exp == -1 for p in step.expression.atoms(sympy.Pow))))
                if waits or long:
                    later.add(step.target.tensor)
        chains = {"tanh": 2, "sigmoid": 2, "silu": 2, "softplus": 2}
        computed = [loop for loop in loops if {s.target.tensor for s in loop} & {"z1", "h1"}]
        assert len(computed) == chains.get(activation, 1)
        shared = [nest for nest in nests if len(nest.parts) > 1]  # only a division waits
        assert len(shared) == (activation in ("tanh", "sigmoid", "silu"))
