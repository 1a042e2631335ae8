"""The model that the package ships: a textbook perceptron with two inputs, two hidden neurons and one output.

Its single bias w0 enters every neuron twice. One sample is learned by gradient descent.
"""

import sympy

from nncodegen.compiler.describe import Model

x1, x2, y = sympy.symbols("x1 x2 y")
w0, w13, w14, w23, w24, w35, w45 = sympy.symbols("w0 w13 w14 w23 w24 w35 w45")


def logistic(z: sympy.Expr) -> sympy.Expr:
    """Return 1/(1 + exp(-z))."""
    return 1 / (1 + sympy.exp(-z))


f3 = logistic(w13 * x1 + w23 * x2 + w0 + w0)
f4 = logistic(w14 * x1 + w24 * x2 + w0 + w0)
f5 = logistic(w35 * f3 + w45 * f4 + w0 + w0)

model = Model(
    name="perceptron",
    inputs=(x1, x2),
    targets=(y,),
    parameters={w0: 0.1, w13: 0.2, w14: 0.8, w23: 0.6, w24: 0.4, w35: 0.1, w45: 0.5},
    output=f5,
    loss=-y * sympy.log(f5) - (1 - y) * sympy.log(1 - f5),
)

X, Y = [[0.35, 0.9]], [[1.0]]
"""The data: one sample."""

LEARNING_RATE, EPOCHS = 0.3, 999
"""The learning rate and the epochs with which the command line trains it."""
