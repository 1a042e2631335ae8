"""Networks given as steps: several inputs and outputs, maxima, parameters that are kept, sums over several indices."""

import numpy as np
import pytest
from sympy import exp

import nncodegen as nn
from nncodegen import ModelError
from nncodegen.compiler.describe.loss_steps import Output
from nncodegen.compiler.ir import Element, Initial, Step, Tensor
from tests.support.built import built, stage
from tests.support.models import differences, gradient_of, random_data

pytestmark = pytest.mark.usefixtures("quick_compiler")
RNG = np.random.default_rng(3)


def element(text):
    """x[n, i] as it is written."""
    name, _, indices = text.removesuffix("]").partition("[")
    return Element(name, filter(None, indices.split(", ")))


x, c, k, W, V, h, m, weight = map(
    element, ["x[n, i]", "c[n, k]", "shift[i]", "W[j, i]", "V[k, j]", "h[n, j]", "m[n]", "weight[j]"]
)
SHIFT = Initial("given", 0.0, np.linspace(-1, 1, 20).astype("<f8").tobytes())
WIDE = nn.Graph(
    inputs=[Tensor("x", (None, 20)), Tensor("c", (None, 3))],
    parameters=[
        Tensor("W", (16, 20), Initial("uniform", 0.3)),
        Tensor("shift", (20,), SHIFT, trained=False),
        Tensor("V", (3, 16), Initial("uniform", 0.3)),
        Tensor("weight", (16,), Initial("uniform", 0.3)),
    ],
    steps=[
        Step(element("p[n, i]"), x - k),
        Step(element("s[n, j]"), W * element("p[n, i]"), "sum", ("i",)),
        Step(element("r[n, j]"), V * c, "sum", ("k",)),
        Step(h, exp(-((element("s[n, j]") + element("r[n, j]")) ** 2)) + weight),
        Step(m, h, "max", ("j",)),
    ],
    outputs=[Output(h, h), Output(m, m)],
    name="wide",
)
"""Two inputs, two outputs, one of them a maximum, a shift that is kept, and a parameter with the name of a tensor."""

a = element("a[n, p, q]")
DEEP = nn.Graph(
    inputs=[Tensor("a", (None, 3, 4))],
    parameters=[Tensor("U", (3, 4, 2), Initial("uniform", 1.0)), Tensor("B", (4,), Initial("uniform", 1.0))],
    steps=[
        Step(element("v[n, p, q]"), a, "log_softmax", ("q",)),
        Step(element("t[n, p, q]"), exp(element("v[n, p, q]")) * element("B[q]")),
        Step(element("o[n, r]"), element("U[p, q, r]") * element("t[n, p, q]"), "sum", ("p", "q")),
        Step(element("b[n]"), element("t[n, p, q]") * element("B[q]"), "max", ("p", "q")),
    ],
    outputs=[Output(element("o[n, r]"), element("o[n, r]")), Output(element("b[n]"), element("b[n]"))],
    loss=lambda output, target: (output - target) ** 4,
    name="deep",
)
"""Tensors of several features' indices, and sums and maxima over two of them."""


def data_of(graph, samples):
    program = graph.describe()
    parameters, X, Y = random_data(program, samples)
    return program, parameters, X, Y


def outputs_of(graph, values, samples):
    return np.concatenate(
        [np.reshape(values[output.element.tensor], (samples, -1)) for output in graph.outputs], axis=1
    )


@pytest.mark.parametrize("graph", [WIDE, DEEP], ids=lambda graph: graph.name)
@pytest.mark.parametrize("samples", [1, 70])
def test_what_is_compiled(graph, samples):
    """Outputs, loss and gradient of the module are those of the steps; columns come in the order of the outputs."""
    program, parameters, X, Y = data_of(graph, samples)
    module = built(graph)
    values = nn.evaluate(program, parameters, X, Y)
    assert module.predict(parameters, X) == pytest.approx(outputs_of(graph, values, samples), rel=1e-12, abs=1e-13)
    loss, gradient = module.loss_and_gradient(parameters, X, Y)
    assert loss == pytest.approx(float(values[program.loss.tensor]), rel=1e-12)
    expected = gradient_of(stage(graph), parameters, X, Y)
    assert gradient == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("graph", [WIDE, DEEP], ids=lambda graph: graph.name)
def test_gradients(graph):
    """The gradient is that of central differences, and 0 for a parameter that is kept."""
    program, parameters, X, Y = data_of(graph, 4)
    expected = differences(program, parameters, X, Y)
    start = 0
    for tensor in program.parameters:
        if not tensor.trained:
            expected[start : start + tensor.size] = 0
        start += tensor.size
    assert gradient_of(stage(graph), parameters, X, Y) == pytest.approx(expected, rel=1e-5, abs=1e-8)


def test_ties():
    """Where several terms are the largest, each has an equal share of the derivative."""
    graph = nn.Graph(
        [Tensor("x", (None, 3))],
        [Tensor("w", (3,))],
        [Step(element("q[n]"), element("w[i]") * x, "max", ("i",))],
        [Output(element("q[n]"), element("q[n]"))],
        loss=lambda output, target: output,
        name="ties",
    )
    assert gradient_of(stage(graph), [2, 1, 0.5], [[1, 2, 4]], [[0]]) == pytest.approx([1 / 3, 2 / 3, 4 / 3])
    assert gradient_of(stage(graph), [2, 1, 1], [[1, 2, 1]], [[0]]) == pytest.approx([1 / 2, 1, 0])


@pytest.mark.parametrize("options", [{"optimizer": "adamw"}, {"weight_decay": 0.1, "l2": 0.1}, {"batch_size": 1}])
def test_what_is_kept(options):
    """No optimizer, penalty or weight decay changes a parameter that is not trained, of one model or of many."""
    module = built(WIDE)
    X, Y = RNG.normal(size=(40, 23)), RNG.normal(size=(40, 17))
    start = module.initial_parameters()
    result = module.train(X, Y, learning_rate=0.01, epochs=3, **options)
    many = {key: value for key, value in options.items() if key != "batch_size"}
    others = module.train_many(X, Y, models=3, learning_rate=0.01, epochs=2, **many)
    for trained in (result.parameters, *others.parameters):
        assert np.array_equal(module.unpack(trained)["shift"], np.linspace(-1, 1, 20))
        for name in ("W", "V", "weight"):
            assert not np.array_equal(module.unpack(trained)[name], module.unpack(start)[name])


def test_given_values():
    """Initial values may be given by name, as for layers."""
    graph = nn.Graph(DEEP.inputs, DEEP.parameters, DEEP.steps, DEEP.outputs, initial={"B": [1, 2, 3, 4]})
    assert np.frombuffer(graph.describe().parameters[1].initial.values).tolist() == [1, 2, 3, 4]


def test_refused_graphs():
    """What has no outputs, or a loss that does not fit, is refused."""
    with pytest.raises(ModelError, match="network has no outputs: there is nothing to compute"):
        nn.Graph(DEEP.inputs, DEEP.parameters, DEEP.steps, [])
    with pytest.raises(ModelError, match="there is no loss 'msee'"):
        nn.Graph(DEEP.inputs, DEEP.parameters, DEEP.steps, DEEP.outputs, "msee")
    with pytest.raises(ModelError, match="a softmax of logits needs an output in one piece"):
        nn.Graph(DEEP.inputs, DEEP.parameters, DEEP.steps, DEEP.outputs, "categorical_crossentropy_from_logits")
