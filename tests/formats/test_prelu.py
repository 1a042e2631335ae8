"""PReLU: a slope on the left of zero that is trained, for each value or along shared axes."""

import numpy as np
import pytest

import nncodegen as nn
from nncodegen import ModelError
from nncodegen.compiler.ir import evaluate
from tests.support.built import stage
from tests.support.models import differences, gradient_of, random_data
from tests.support.plain import loaded

RNG = np.random.default_rng(2)
layers = [
    nn.Conv1D(3, 2),
    nn.PReLU(shared_axes=[1]),
    nn.Dense(3),
    nn.PReLU(0.25),
    nn.Flatten(),
    nn.Dense(2),
    nn.PReLU(0.5, shared_axes=1),
]
network = nn.Sequential(layers, (4, 2), name="slopes")


def test_slopes():
    """Its outputs are NumPy's; the slopes have the axes that are not shared, and start as they are told."""
    program = network.describe()
    shapes = {tensor.name: tensor.shape for tensor in program.parameters}
    assert [shapes[name] for name in ("alpha2", "alpha4", "alpha7")] == [(3,), (3, 3), ()]
    assert [tensor.initial.scale for tensor in program.parameters if "alpha" in tensor.name] == [0, 0.25, 0.5]
    described_program = nn.Sequential([nn.PReLU(shared_axes=[-1])], (4, 2)).describe()
    x, alpha = RNG.normal(size=(5, 4, 2)), RNG.normal(size=4)
    values = evaluate(described_program, alpha, x.reshape(5, 8), np.zeros((5, 8)))[described_program.outputs[0].tensor]
    np.testing.assert_allclose(values, np.where(x > 0, x, alpha[:, None] * x), rtol=1e-15)


def test_gradient():
    """The derivatives by slopes and all else are those of differences."""
    program = network.describe()
    parameters, X, Y = random_data(program)
    expected = differences(program, parameters, X, Y)
    assert gradient_of(stage(network, "simplify"), parameters, X, Y) == pytest.approx(expected, rel=1e-5, abs=1e-8)


def test_compiled(tmp_path, quick_compiler):
    """The module and plain C predict what the evaluator does, and have its gradient."""
    program = stage(network, "differentiate")
    parameters, X, Y = random_data(program)
    values = evaluate(program, parameters, X, Y)
    outputs, gradient = values[program.outputs[0].tensor], gradient_of(program, parameters, X, Y)
    module = nn.build(network)
    plain = loaded(tmp_path, {"slopes": (network, {"train": True})})["slopes"]
    for predictor in (module, plain):
        assert predictor.predict(parameters, X) == pytest.approx(outputs, rel=1e-12)
        assert predictor.loss_and_gradient(parameters, X, Y)[1] == pytest.approx(gradient, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("axes", [0, 3, [1, 1], "1"])
def test_refused(axes):
    """Axes that there are not are refused."""
    with pytest.raises(ModelError, match=r"axis from 1 to 2|axes that are different"):
        nn.Sequential([nn.PReLU(shared_axes=axes)], (4, 2))


def test_weights_of_keras():
    """In Keras, shared axes have the size 1."""
    x = nn.Input((5, 2))
    h = nn.PReLU(shared_axes=[1], name="slope")(nn.Conv1D(3, 2, name="conv")(x))
    there = {
        "net/conv/kernel:0": RNG.normal(size=(2, 2, 3)),
        "net/conv/bias:0": RNG.normal(size=3),
        "net/slope/alpha:0": RNG.normal(size=(1, 3)),
    }
    program = nn.with_weights(nn.Network(x, h), there).describe()
    (alpha,) = (tensor for tensor in program.parameters if "alpha" in tensor.name)
    np.testing.assert_array_equal(np.frombuffer(alpha.initial.values), there["net/slope/alpha:0"].ravel())


def test_of_torch():
    """Stacks of PyTorch, and modules with recurrent layers, have one slope, or one for each channel."""
    torch = pytest.importorskip("torch")
    tnn = torch.nn

    class Recurrent(tnn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.slope, self.out = tnn.GRU(2, 4, batch_first=True), tnn.PReLU(), tnn.Linear(4, 1)

        def forward(self, x):
            return self.out(self.slope(self.gru(x)[0]))

    dense = tnn.Sequential(tnn.Linear(4, 5), tnn.PReLU(), tnn.Linear(5, 3), tnn.PReLU(3), tnn.Softmax(1))
    window = tnn.Sequential(tnn.Conv1d(2, 3, 2), tnn.PReLU(3), tnn.Flatten(), tnn.Linear(12, 1))
    for module, shape in ((dense, (4,)), (window, (2, 5)), (Recurrent(), (5, 2))):
        module.double()
        for parameter in module.parameters():
            tnn.init.normal_(parameter)
        X = RNG.normal(size=(3, *shape))
        expected = module(torch.from_numpy(X)).detach().numpy()
        program = nn.from_torch(module, inputs=None if len(shape) == 1 else shape).describe()
        start = [value for tensor in program.parameters for value in np.frombuffer(tensor.initial.values)]
        values = evaluate(program, start, X.reshape(3, -1), np.zeros((3, expected[0].size)))
        assert values[program.outputs[0].tensor] == pytest.approx(expected, rel=1e-12)
