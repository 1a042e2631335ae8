"""Jacobians and Hessians of outputs by inputs: they are those of the formulas, and compute nothing that is known."""

import mpmath
import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.describe import describe
from nncodegen.compiler.describe.activations import ACTIVATIONS
from nncodegen.compiler.ir import Element, Program, Step, Tensor, evaluate
from nncodegen.compiler.passes.identities import contract
from nncodegen.compiler.passes.sensitivities import adjoint, jacobian
from nncodegen.compiler.passes.simplify import simplify
from nncodegen.compiler.passes.stabilize import stabilize
from nncodegen.estimators.network import Description, Ensemble, Kind
from nncodegen.formats.export.programs import of_outputs

DIGITS, STEP = 50, mpmath.mpf("1e-16")
x1, x2, y1, y2, a = sympy.symbols("x1 x2 y1 y2 a")


KINDS = (
    Kind(Description(2, ((3, "tanh"), (2, "sigmoid")), "mse", skip=True), 2, 0.75),
    Kind(Description(2, ((3, "relu"), (2, "linear")), "mse"), 3, 0.25),
)


def network(activation):
    layers = [nn.Dense(3, activation), nn.Dense(2, "softmax")]
    return nn.Sequential(layers, inputs=2, loss="categorical_crossentropy", name="network")


MODELS = {
    **{name: network(name) for name in ACTIVATIONS},
    "wide": nn.Sequential([nn.WideAndDeep([nn.Dense(2, "tanh")], 2, "sigmoid")], 2, loss="mse", name="wide"),
    "relu_alone": nn.Sequential([nn.Dense(3, "relu"), nn.Dense(2)], inputs=2, loss="mse", name="relu"),
    "ensemble": Ensemble(KINDS, scale=2.0, shift=-0.5),
    "linear": nn.Sequential([nn.Dense(2)], inputs=2, loss="mse", name="linear"),
    "elementwise": nn.Model("formula", [x1, x2], [y1, y2], {a: 1}, [sympy.exp(-a * x1) * sympy.sin(x2), x1**2 * x2]),
}


def given(program, seed=0):
    """Parameters, one sample of inputs, and seeds of the outputs, that are exact in binary."""
    generator = np.random.default_rng(seed)
    count = sum(program.count(element.indices) for element in program.outputs)
    sizes = (program.parameter_count, sum(tensor.size for tensor in program.inputs), count)
    return [np.round(generator.normal(size=size) * 64) / 64 for size in sizes]


def outputs_at(program, parameters, x):
    """The outputs (O,) of the formulas as they were described, with 50 digits."""
    values = evaluate(program, parameters, [x], digits=DIGITS)
    return np.concatenate([np.ravel(values[element.tensor]) for element in program.outputs])


def differences(program, parameters, x, seeds):
    """The Jacobian (O, I) and the Hessian (I, I) of outputs times seeds, by central differences with 50 digits."""
    with mpmath.workdps(DIGITS):
        x = np.array([mpmath.mpf(value) for value in x], object)
        steps = np.diag([STEP] * len(x))
        at = lambda z: outputs_at(program, parameters, z)  # noqa: E731
        slopes = np.array([(at(x + e) - at(x - e)) / (2 * STEP) for e in steps]).T
        total = lambda z: at(z) @ seeds  # noqa: E731
        curvature = [
            [(total(x + e + f) - total(x + e - f) - total(x - e + f) + total(x - e - f)) / (4 * STEP**2) for f in steps]
            for e in steps
        ]
    return slopes.astype(float), np.array(curvature, float)


def assembled(derived, program, values, functions):
    """The matrix whose blocks are the entries of a Jacobian, (values of the functions, inputs)."""
    results, width = iter(program.outputs), len(program.inputs)
    blocks = [None if entry is None else next(results) for entry in derived.entries]
    rows = []
    for number, size in enumerate(functions):
        row_blocks = zip(blocks[number * width : (number + 1) * width], program.inputs, strict=True)
        rows.append(
            [np.zeros((size, t.size)) if b is None else values[b.tensor].reshape(size, t.size) for b, t in row_blocks]
        )
    return np.block(rows)


def evaluated(derived, parameters, x, seeds, functions):
    """The matrix of a Jacobian from the simplified program, computed with NumPy."""
    program = contract(simplify(derived.program), derived.identities)
    sizes = {tensor.name: tensor.shape[0] for tensor in derived.program.parameters if tensor.name in derived.identities}
    everything = np.concatenate([parameters, *(np.eye(sizes[name]).ravel() for name in derived.identities)])
    return assembled(derived, program, evaluate(program, everything, [x], [seeds]), functions)


@pytest.mark.parametrize("name", MODELS)
def test_derivatives_are_those_of_the_formulas(name):
    """The Jacobian and the Hessian by the inputs are those of the described formulas, as differences with 50 digits."""
    described = of_outputs(describe(MODELS[name]))
    parameters, x, seeds = given(described)
    slopes, curvature = differences(described, parameters, x, seeds)
    program = stabilize(described)
    sizes = [program.count(element.indices) for element in program.outputs]
    matrix = evaluated(jacobian(program, program.inputs), parameters, x, seeds[:0], sizes)
    np.testing.assert_allclose(matrix, slopes, rtol=1e-12, atol=1e-13)
    derived, entries = adjoint(program, program.inputs)
    sizes = [tensor.size for tensor, entry in zip(program.inputs, entries, strict=True) if entry is not None]
    matrix = evaluated(jacobian(derived, program.inputs), parameters, x, seeds, sizes)
    np.testing.assert_allclose(matrix, curvature, rtol=1e-11, atol=1e-12)


def test_a_variable_that_is_not_read_has_no_derivative():
    """Where an output does not depend on an input, there is no step, and no entry."""
    model = nn.Model("two", [x1, x2], [y1, y2], {a: 1}, [sympy.sin(a * x1), x1 * x2])
    program = stabilize(of_outputs(describe(model)))
    assert [entry is None for entry in jacobian(program, program.inputs).entries] == [False, True, False, False]


def test_rows_share_what_does_not_depend_on_them():
    """The steps before the first row are those of the outputs; an identity in front of a matrix is not multiplied."""
    layers = [nn.Dense(3, "tanh"), nn.Dense(2)]
    program = stabilize(of_outputs(describe(nn.Sequential(layers, inputs=2, loss="mse", name="rows"))))
    rows = jacobian(program, program.inputs)
    contracted = contract(simplify(rows.program), rows.identities)
    assert not any(e.tensor in rows.identities for step in contracted.steps for e in step.operands)
    texts = [str(step) for step in contracted.steps]
    assert sum("row_k" in text for text in texts) == 2
    assert texts[-2].endswith("W2[row_k, j]*" + texts[-2].split("*")[-1])
    assert sum("tanh" in text for text in texts) <= 1


def test_a_sum_over_an_identity_is_its_only_term():
    """sum(k) I[row, k]*z[k]*W[k, j] becomes z[row]*W[row, j], also where the product with I has a step of its own."""
    identity, z, w = Element("I", ["row", "k"]), Element("z", ["k"]), Element("W", ["k", "j"])
    diagonal, result = Element("d", ["row", "k"]), Element("r", ["row", "j"])
    program = Program(
        "sums",
        (),
        (Step(diagonal, identity * sympy.exp(z)), Step(result, diagonal * w, "sum", ("k",))),
        (result,),
        (Tensor("I", (3, 3)), Tensor("z", (3,)), Tensor("W", (3, 2))),
    )
    parameters = np.concatenate([np.eye(3).ravel(), np.arange(9) / 8])
    contracted = contract(program, ("I",))
    assert [step.over for step in contracted.steps] == [(), ()]
    values = [evaluate(each, parameters)["r"] for each in (program, contracted)]
    np.testing.assert_array_equal(*values)
