"""Loops and places."""

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.ir import SAMPLE
from nncodegen.schedule import NO_CHOICES, Place


def scheduled(model, choices=NO_CHOICES):
    return nn.compile_model(model, until="schedule", choices=choices)["schedule"]


NETWORK = nn.Sequential([nn.Dense(4, "tanh"), nn.Dense(3, "softmax")], 5, "categorical_crossentropy")
a, b, x, y = sympy.symbols("a b x y")
FORMULA = nn.Model("m", [x], [y], {a: 1.0, b: 2.0}, a * x + b, (a * sympy.tanh(b * x) - y) ** 2)


def test_a_formula_is_one_loop_without_arrays():
    """All steps of a formula share one loop over samples; every value but the output is a local variable."""
    for kernel in scheduled(FORMULA).kernels:
        assert [nest.outer for nest in kernel.tile] == [()]
        arrays = {name for name, storage in kernel.storage.items() if storage.place is Place.ARRAY}
        assert arrays == {element.tensor for element in kernel.outputs}


def test_what_metrics_need_alone_runs_apart():
    """Loops of a tile compute nothing for metrics that the loss and the gradient do not need as well."""
    predict, loss, gradient = scheduled(FORMULA).kernels
    assert (predict.measured, predict.outputs) == ((), ())
    for kernel in (loss, gradient):
        assert kernel.outputs == scheduled(FORMULA).program.outputs
        assert {step.target for nest in kernel.measured for step in nest.steps} >= set(kernel.outputs)
    network = scheduled(NETWORK)
    assert network.kernels[2].measured == ()  # the gradient needs the outputs
    incomparable = nn.Model("m", [x], [y], {a: 1.0}, (a * x, a + x), (a * x - y) ** 2)
    assert [kernel.outputs for kernel in scheduled(incomparable).kernels] == [(), (), ()]


@pytest.mark.parametrize("model", [NETWORK, FORMULA], ids=["network", "formula"])
def test_every_value_is_ready_when_it_is_read(model):
    """A nest reads what earlier nests or earlier steps of its own have computed; a reduction must be complete."""
    for kernel in scheduled(model).kernels:
        done = {name for name, s in kernel.storage.items() if s.place in (Place.PARAMETER, Place.INPUT, Place.TARGET,
                                                                         Place.WEIGHT)}  # fmt: skip
        for nest in (*kernel.before, *kernel.tile, *kernel.measured, *kernel.after):
            mine = set()
            for step in nest.steps:
                assert all(operand.tensor in done | mine for operand in step.operands), step
                if not any(index in (*nest.reduced, SAMPLE) for index in step.over):
                    mine.add(step.target.tensor)
            done |= {step.target.tensor for step in nest.steps}


@pytest.mark.parametrize("choices", [{"features": []}, {"features": ["j"]}, {"features": ["i", "j"]}], ids=str)
def test_arrays_do_not_overlap(choices):
    """Every array has its own part of work memory, aligned, and no two values share a place in it."""
    schedule = scheduled(NETWORK, choices)
    sizes, tile = schedule.program.sizes, schedule.tile
    for kernel in schedule.kernels:
        nests = (*kernel.before, *kernel.tile, *kernel.measured)
        targets = {step.target.tensor: step.target for nest in nests for step in nest.steps}
        taken = np.zeros(kernel.arrays, bool)
        for name, storage in kernel.storage.items():
            if storage.place is not Place.ARRAY:
                continue
            assert storage.offset % tile == 0
            shape = [tile if index == SAMPLE else sizes[index] for index in targets[name].indices]
            positions = storage.offset + np.tensordot(storage.strides, np.indices(shape), 1).ravel()
            assert len(set(positions)) == len(positions)
            assert not taken[positions].any()
            taken[positions] = True


def test_layers_lie_as_their_width_suggests():
    """Wide layers have their features innermost, narrow ones their samples; classes always their samples."""
    wide = nn.Sequential([nn.Dense(64, "tanh"), nn.Dense(10, "softmax")], 32, "categorical_crossentropy")
    assert scheduled(wide).layout.features == ("j", "i")
    narrow = nn.Sequential([nn.Dense(2, "tanh"), nn.Dense(3, "softmax")], 2, "categorical_crossentropy")
    assert scheduled(narrow).layout.features == ()


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
    assert text.startswith("tiles of 64 samples\n")
    assert "kernel gradient" in text
    assert "for j, i, n in blocks of outputs in registers:\n        s1[n, j] = sum(i) W1[j, i]*x tile[n, i]" in text


def test_the_tile_follows_from_the_weights():
    """Tiles are longer where the weights of a layer leave the first-level cache; the dump says why."""
    for units, tile in ((40, 64), (41, 128)):  # 100 inputs in double precision
        layout = scheduled(nn.Sequential([nn.Dense(units), nn.Dense(2)], 100)).layout
        assert layout.tile == tile
        assert f"largest layer take {800 * units:,} bytes" in layout.show()
    assert "as asked for" in scheduled(nn.Sequential([nn.Dense(3)], 4), {"tile": 32}).layout.show()


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(("hidden", "outputs"), [(16, 1), (32, 2), (33, 3), (32, 10), (100, 5)])
def test_narrow_layers(hidden, outputs, precision):
    """Layers of few units behind wider ones, turned over or not, compute what the evaluator does."""
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
        found = module.predict(parameters, X)
        assert found == pytest.approx(np.asarray(values[program.outputs[0].tensor]).reshape(found.shape), rel=bound)
        loss_value, gradient = module.loss_and_gradient(parameters, X, Y)
        expected = np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient])
        assert loss_value == pytest.approx(float(values["loss"]), rel=bound)
        assert gradient == pytest.approx(expected, rel=bound, abs=bound * abs(expected).max())
