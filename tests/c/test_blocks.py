"""Blocks and padded tiles: right at sizes that are no multiple of anything, and within their memory."""

import shutil
import sys

import numpy as np
import pytest
import sympy

import nncodegen as nn
from tests.support.built import stage
from tests.support.compilers import QUICK, sanitized
from tests.support.models import check_classifier, classifier, gradient_of

pytestmark = pytest.mark.usefixtures("vector_compiler")

SAMPLES = [1, 2, 3, 63, 64, 65, 129, 257]
LAYOUTS = [{"features": []}, {"features": ["i", "j"]}, {"features": ["j"]}]
WIDTHS = [(1,), (3, 5), (17,), (31, 33), (100, 60)]
WITHOUT_VECTORS = [(1,), (31, 33)]
FEATURES = ["", "jkl", "k", "jl", "l", "i", "ijkl"]
ALIKE = ["k", "l", "i"]
"""Layouts whose layers have the neighbours that they have in others."""


def sizes():
    """Every width with every layout, in either precision; two pairs of three with --thorough only."""
    for number, hidden in enumerate(WIDTHS):
        for other, choices in enumerate(LAYOUTS):
            marks = [pytest.mark.thorough] if (number + other) % 3 else []
            yield pytest.param(hidden, choices, ("float64", "float32")[(number + other) % 2], marks=marks)


@pytest.mark.parametrize(("hidden", "choices", "precision"), [*sizes()], ids=str)
def test_sizes(hidden, choices, precision, monkeypatch):
    """Outputs, loss and gradient agree with the evaluator, whatever the widths, the layout and the samples.

    Every width goes with every layout, and both with either precision: every pair, not every triple. Two of the widths
    are compiled without vectors.
    """
    if hidden in WITHOUT_VECTORS:
        monkeypatch.setenv("CC", QUICK)
    model = classifier(*hidden, name="blocks")
    module = nn.build(model, precision, choices=choices, fit=False)
    program = stage(model)
    bound = 1e-14 if precision == "float64" else 1e-5
    check_classifier(module, program, SAMPLES, bound)


def is_one_more(features, precision):
    """Whether features along vectors are tried in the other precision already."""
    return (FEATURES.index(features) % 2 == 0) == (precision == "float32")


@pytest.mark.parametrize(
    ("features", "precision"),
    [
        pytest.param(
            features,
            precision,
            marks=[pytest.mark.thorough] if features in ALIKE or is_one_more(features, precision) else [],
        )
        for features in FEATURES
        for precision in ("float64", "float32")
    ],
)
def test_few_samples(features, precision, monkeypatch):
    """So they do for batches of fewer samples than a vector has, where layers with either innermost follow each other.

    One activation has no value at 0: what pads the samples must be one of them. Layouts meet one precision; with
    --thorough also the other, without optimization.
    """
    if is_one_more(features, precision):
        monkeypatch.setenv("CC", QUICK)
    layers = [
        nn.Dense(20, "tanh"),
        nn.Dense(120, "relu"),
        nn.Dense(17, "softplus"),
        nn.Dense(3, lambda z: sympy.log(z**2)),
    ]
    model = nn.Sequential(layers, 16, "mse", name="few")
    module = nn.build(model, precision, choices={"features": list(features)}, fit=False)
    program = stage(model)
    bound = 1e-12 if precision == "float64" else 1e-4
    rng = np.random.default_rng(0)
    parameters = (0.5 * rng.normal(size=module.parameter_count)).astype(precision).astype(float)
    for samples in (1, 2, 3, 5, 9, 15, 17, 31, 70):
        X, Y = (np.full((samples + 32, width), np.nan, precision)[:samples] for width in (16, 3))  # nothing after them
        X[:], Y[:] = rng.normal(size=X.shape), rng.normal(size=Y.shape)
        values, expected = nn.evaluate(program, parameters, X, Y), gradient_of(program, parameters, X, Y)
        loss, gradient = module.loss_and_gradient(parameters, X, Y)
        assert loss == pytest.approx(float(values["loss"]), rel=bound)
        for name, part in module.unpack(gradient).items():
            right = module.unpack(expected)[name]
            assert np.linalg.norm(part - right) <= bound * np.linalg.norm(right), (samples, name)
        trained = module.train(X, Y, parameters, learning_rate=1e-3, epochs=1, batch_size=samples, shuffle=False)
        assert trained.parameters - parameters == pytest.approx(-1e-3 * expected, rel=0.01, abs=bound)


def test_padding_has_no_weight():
    """A sample gives the same loss and gradient alone and among others of weight 0."""
    module = nn.build(classifier(17, name="blocks"), fit=False)
    rng = np.random.default_rng(1)
    parameters, X, Y = rng.normal(size=module.parameter_count), rng.normal(size=(90, 7)), rng.integers(0, 3, 90)
    alone = module.loss_and_gradient(parameters, X[40:41], Y[40:41])
    among = module.loss_and_gradient(parameters, X, Y, sample_weight=np.arange(90) == 40)
    assert among[0] == pytest.approx(alone[0], rel=1e-14)
    assert among[1] == pytest.approx(alone[1], rel=1e-13, abs=1e-16)


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("gcc") is None or sys.platform != "linux", reason="needs GCC's sanitizers")
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_sanitizers(precision, tmp_path):
    """AddressSanitizer and UndefinedBehaviorSanitizer find nothing in a formula, nor in blocks of either kind.

    In each precision there are samples innermost and features innermost, parts of vectors and whole ones. What an
    optimizer does is not a matter of the samples: all of them are tried with one number of these.
    """
    program = f"""
        import numpy as np
        import nncodegen as nn
        from nncodegen.perceptron import model
        from tests.support.models import classifier

        rng = np.random.default_rng(0)
        rows, across = {{"features": ["i", "j"]}}, {{"features": []}}
        layers = [nn.Dense(32, "tanh"), nn.Dense(3, "softmax")]
        whole = nn.Sequential(layers, 16, "categorical_crossentropy", name="whole")
        others = {{
            "float64": [(classifier(3, 5, name="small"), {{}}), (classifier(100, 60, name="large"), {{}})],
            "float32": [(classifier(3, 5, name="rows"), rows), (classifier(100, 60, name="across"), across)],
        }}
        for built, choices in [(model, {{}}), (whole, {{}}), *others[{precision!r}]]:
            module = nn.build(built, {precision!r}, choices=choices)
            inputs, targets = len(module.input_names), len(module.target_names)
            for samples in {SAMPLES}:
                X, Y = rng.normal(size=(samples, inputs)), rng.uniform(size=(samples, targets))
                module.predict(module.initial_parameters(), X)
                module.loss(module.initial_parameters(), X, Y, np.ones(samples))
                for optimizer in module.optimizers if samples == 65 else ("sgd", "adam"):
                    module.train(X, Y, optimizer=optimizer, epochs=2, batch_size=(samples + 1) // 2)
            module.train(X[:2], Y[:2], epochs=1, update="sequential")
            for batch in (1, 2, 257):
                module.train(X, Y, epochs=2, batch_size=batch)
                for optimizer in module.optimizers if batch == 2 else ("sgd", "adam"):
                    module.train_many(X, Y, models=3, epochs=2, batch_size=batch, optimizer=optimizer, threads=2)
        print("nothing found")
        """
    assert sanitized(program, tmp_path, QUICK) == "nothing found"
