"""Programs with equations between indices, and with recurrences: small ones that have a bit of everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import Expr

import nncodegen as nn
from nncodegen.compiler.ir import Element, Equation, Program, Step, Tensor, evaluate, needed

WEIGHT, LOSS, LOSS_N = Element("weight", ("n",)), Element("loss"), Element("loss_n", ("n",))


def program(
    steps: list[Step], output: Element, inputs: list[Tensor], parameters: list[Tensor], **sizes: int
) -> Program:
    """Steps with squared errors as a loss; sizes are those of indices that no tensor has."""
    y, over = Element("y", output.indices), output.indices[1:]
    error = Step(LOSS_N, (output - y) ** 2, "sum" if over else None, over)
    loss = Step(LOSS, LOSS_N * WEIGHT, "sum", ("n",))
    forward = Program(
        "moving",
        tuple(inputs),
        tuple(steps),
        (output,),
        tuple(parameters),
        extents=tuple(sizes.items()),
    )
    target = Tensor("y", forward.shapes[output.tensor])
    return replace(forward, targets=(target,), steps=(*steps, error, loss), loss=LOSS)


def window(stride: int, offset: int, dilation: int, places: int, size: int = 9, taps: int = 3) -> Program:
    """A window of weights that moves over two channels, and one product of its outputs."""
    x, W, V = Element("x", ("n", "c", "u")), Element("W", ("o", "c", "r")), Element("V", ("o", "i"))
    s, out = Element("s", ("n", "o", "i")), Element("out", ("n",))
    steps = [
        Step(s, W * x, "sum", ("c", "r", "u"), (Equation("u", (("i", stride), ("r", dilation)), offset),)),
        Step(out, V * sympy.tanh(s), "sum", ("o", "i")),
    ]
    parameters = [Tensor("W", (3, 2, taps)), Tensor("V", (3, places))]
    return program(steps, out, [Tensor("x", (None, 2, size))], parameters, i=places)


def pool(stride: int, taps: int, places: int, size: int = 7) -> Program:
    """The largest of each window over values of two channels, which a product comes before and after."""
    x, W, V = Element("x", ("n", "c", "i")), Element("W", ("c", "i")), Element("V", ("c", "k"))
    h, m, out = Element("h", ("n", "c", "i")), Element("m", ("n", "c", "k")), Element("out", ("n",))
    steps = [
        Step(h, sympy.tanh(W * x)),
        Step(m, h, "max", ("q", "i"), (Equation("i", (("k", stride), ("q", 1))),)),
        Step(out, V * m, "sum", ("c", "k")),
    ]
    parameters = [Tensor("W", (2, size)), Tensor("V", (2, places))]
    return program(steps, out, [Tensor("x", (None, 2, size))], parameters, q=taps)


def joined() -> Program:
    """Two layers side by side in one array, mirrored and cut: what Concatenate and Slice are made of."""
    x, A, B = Element("x", ("n", "i")), Element("A", ("j", "i")), Element("B", ("l", "i"))
    a, b = Element("a", ("n", "j")), Element("b", ("n", "l"))
    first, second, both = Element("first", ("n", "k")), Element("second", ("n", "k")), Element("both", ("n", "k"))
    cut, out, C = Element("cut", ("n", "m")), Element("out", ("n",)), Element("C", ("m",))
    steps = [
        Step(a, A * x, "sum", ("i",)),
        Step(b, B * x, "sum", ("i",)),
        Step(first, a, "sum", ("j",), (Equation("k", (("j", 1),)),)),
        Step(second, b, "sum", ("l",), (Equation("k", (("l", 1),), 2),)),
        Step(both, first + second),
        Step(cut, both, "sum", ("k",), (Equation("k", (("m", -1),), 3),)),
        Step(out, C * sympy.sin(cut), "sum", ("m",)),
    ]
    parameters = [Tensor("A", (2, 3)), Tensor("B", (3, 3)), Tensor("C", (4,))]
    return program(steps, out, [Tensor("x", (None, 3))], parameters, k=5)


def gathered_rows() -> Program:
    """Rows of a matrix that an input names, as an embedding does."""
    x, E, V = Element("x", ("n", "t")), Element("E", ("v", "j")), Element("V", ("t", "j"))
    e, out = Element("e", ("n", "t", "j")), Element("out", ("n",))
    steps = [
        Step(e, E, "sum", ("v",), (Equation(x, (("v", 1),)),)),
        Step(out, V * sympy.tanh(e), "sum", ("t", "j")),
    ]
    return program(steps, out, [Tensor("x", (None, 3))], [Tensor("E", (4, 2)), Tensor("V", (3, 2))])


def recurrent(times: int = 4, forward: bool = True) -> Program:
    """A simple recurrent network that starts from a product of the first input; its last state is the output."""
    x, W, U = Element("x", ("n", "t", "i")), Element("W", ("j", "i")), Element("U", ("j", "k"))
    z, h, s, before = (Element(name, ("n", "t", "j")) for name in ("z", "h", "s", "h_0"))
    begin, start, state = Element("x_0", ("n", "i")), Element("start", ("n", "j")), Element("state", ("n", "t", "j"))
    last, out, H, V = (
        Element("last", ("n", "j")),
        Element("out", ("n",)),
        Element("H", ("j", "i")),
        Element("V", ("j",)),
    )
    first, final = (0, times - 1) if forward else (times - 1, 0)
    steps = [
        Step(begin, x, "sum", ("t",), (Equation("t", (), first),)),
        Step(start, H * begin, "sum", ("i",)),
        Step(Element("begun", ("n", "t", "j")), start, None, (), (Equation("t", (), first),)),
        Step(before, h, "before" if forward else "after", ("t",)),
        Step(z, W * x, "sum", ("i",)),
        Step(state, before + Element("begun", ("n", "t", "j"))),
        Step(s, U * Element("state", ("n", "t", "k")), "sum", ("k",)),
        Step(h, sympy.tanh(s + z)),
        Step(last, h, "sum", ("t",), (Equation("t", (), final),)),
        Step(out, V * last, "sum", ("j",)),
    ]
    parameters = [Tensor("W", (3, 2)), Tensor("U", (3, 3)), Tensor("H", (3, 2)), Tensor("V", (3,))]
    return program(steps, out, [Tensor("x", (None, times, 2))], parameters)


def gated(times: int = 3) -> Program:
    """Two states that depend on each other, as in an LSTM; all times are the output."""

    def at(name: str, unit: str = "j") -> Element:
        return Element(name, ("n", "t", unit))

    def sigmoid(value: Expr) -> Expr:
        return 1 / (1 + sympy.exp(-value))

    x, steps, parameters = Element("x", ("n", "t", "i")), [], []
    steps += [Step(at("h_0"), at("h"), "before", ("t",)), Step(at("c_0"), at("c"), "before", ("t",))]
    for gate in "ifgo":
        W, U = Element(f"W{gate}", ("j", "i")), Element(f"U{gate}", ("j", "k"))
        parameters += [Tensor(W.tensor, (2, 2)), Tensor(U.tensor, (2, 2))]
        steps += [Step(at(f"x{gate}"), W * x, "sum", ("i",)), Step(at(f"u{gate}"), U * at("h_0", "k"), "sum", ("k",))]
    i, f, g, o = (at(f"x{gate}") + at(f"u{gate}") for gate in "ifgo")
    steps += [
        Step(at("c"), sigmoid(f) * at("c_0") + sigmoid(i) * sympy.tanh(g)),
        Step(at("h"), sigmoid(o) * sympy.tanh(at("c"))),
        Step(Element("out", ("n", "t")), Element("V", ("j",)) * at("h"), "sum", ("j",)),
    ]
    parameters.append(Tensor("V", (2,)))
    return program(steps, Element("out", ("n", "t")), [Tensor("x", (None, times, 2))], parameters)


PROGRAMS = {
    "window": window(1, 0, 1, 7),
    "padding": window(1, -1, 1, 9),
    "stride": window(2, -1, 1, 5),
    "dilation": window(1, 0, 3, 3),
    "beyond": window(3, -2, 2, 4),
    "pool": pool(2, 2, 3),
    "overlap": pool(1, 3, 5),
    "joined": joined(),
    "gathered": gathered_rows(),
    "recurrent": recurrent(),
    "backwards": recurrent(forward=False),
    "gated": gated(),
}


def data(model: Program, samples: int = 3, seed: int = 0) -> tuple[NDArray[np.float64], ...]:
    """Parameters, X and Y; inputs that name rows are whole numbers."""
    rng = np.random.default_rng(seed)
    columns = [sum(tensor.size for tensor in tensors) for tensors in (model.inputs, model.targets)]
    X = rng.normal(size=(samples, columns[0]))
    if any(equation.data for step in model.steps for equation in step.where):
        X = rng.integers(0, 4, X.shape).astype(float)
    return rng.normal(size=model.parameter_count), X, rng.normal(size=(samples, columns[1]))


def gradient(model: Program, *arguments: NDArray[np.float64], digits: int | None = None) -> NDArray[np.float64]:
    """The derivatives of the loss that a differentiated program computes."""
    values = evaluate(model, *arguments, digits=digits)
    return np.concatenate([np.ravel(values[element.tensor]).astype(float) for element in model.gradient])


OPERATIONS = ("window", "pool", "transposed", "cut", "function", "recurrence")
"""What ``chain`` is made of."""


def chain(operations: Sequence[tuple[str, int, int, int]], size: int = 6) -> Program:
    """Operations one after the other on two channels of values, each with three small numbers; then a product.

    An operation whose numbers do not fit what comes before is left out.
    """
    steps: list[Step] = []
    parameters: list[Tensor] = []
    sizes: dict[str, int] = {}
    h = Element("x", ("n", "c0", "u0"))
    for k, (operation, a, b, d) in enumerate(operations, start=1):
        c, u = h.indices[1:]
        o, i, r = f"c{k}", f"u{k}", f"r{k}"
        out, W = Element(f"h{k}", ("n", o, i)), Element(f"W{k}", (o, c, r))
        if operation in ("window", "transposed"):
            length = (size + 1) // a if operation == "window" else a * size
            apart = Equation(u, ((i, a), (r, d)), -b) if operation == "window" else Equation(i, ((u, a), (r, d)), -b)
            steps.append(Step(out, W * h, "sum", (c, r, u), (apart,)))
            parameters.append(Tensor(W.tensor, (2, 2, b + 1)))
            sizes |= {i: length}
        elif operation == "pool" and size > a:
            out, length = Element(f"h{k}", ("n", c, i)), (size - a) // b + 1
            steps.append(Step(out, h, "max", (r, u), (Equation(u, ((i, b), (r, 1))),)))
            sizes |= {r: a, i: length}
        elif operation == "cut" and size > a + 1:
            out, length = Element(f"h{k}", ("n", c, i)), size - a
            steps.append(Step(out, h, "sum", (u,), (Equation(u, ((i, -1),), size - 1),)))
            sizes |= {i: length}
        elif operation == "recurrence":
            out, length = Element(f"h{k}", ("n", c, u)), size
            before = Element(f"b{k}", out.indices)
            steps.append(Step(before, out, "before" if d > 1 else "after", (u,)))
            steps.append(Step(out, sympy.tanh(h + Element(f"w{k}", (c,)) * before)))
            parameters.append(Tensor(f"w{k}", (2,)))
        else:
            out, length = Element(f"h{k}", ("n", c, u)), size
            steps.append(Step(out, sympy.sin(h) + h**2 / 4))
        h, size = out, length
    c, u = h.indices[1:]
    out = Element("out", ("n",))
    steps.append(Step(out, Element("V", (c, u)) * h, "sum", (c, u)))
    return program(steps, out, [Tensor("x", (None, 2, 6))], [*parameters, Tensor("V", (2, size))], **sizes)


def states(kinds: Sequence[tuple[int, bool, bool, int]], units: int = 6, times: int = 3) -> Program:
    """States that read each other at one time; a product of the last one is the output at each time.

    Each state reads the one that comes a number of states before it, or the input if there is none; itself at the time
    before; and, through a product, either of both. The last number is that of its function.
    """

    def at(name: str, unit: str = "j") -> Element:
        return Element(name, ("n", "t", unit))

    functions = (sympy.tanh, lambda z: 1 / (1 + sympy.exp(-z)), sympy.sin, lambda z: z / 2)
    steps: list[Step] = []
    parameters: list[Tensor] = []

    def product(name: str, read: Element, size: int) -> Element:
        parameters.append(Tensor(f"W_{name}", (units, size)))
        steps.append(Step(at(name), Element(f"W_{name}", ("j", read.indices[-1])) * read, "sum", read.indices[-1:]))
        return at(name)

    for number, (back, others, reads_itself, function) in enumerate(kinds):
        if back > number:
            read = product(f"x{number}", at("x", "i"), 2)
        else:
            name = f"h{number - back}"
            read = product(f"s{number}", at(name, "k"), units) if others else at(name)
        before = at(f"b{number}")
        steps.append(Step(before, at(f"h{number}"), "before", ("t",)))
        last = product(f"r{number}", at(f"b{number}", "k"), units) if reads_itself else before
        steps.append(Step(at(f"h{number}"), functions[function](read + last)))
    out = Element("out", ("n", "t"))
    steps.append(Step(out, Element("V", ("j",)) * at(f"h{len(kinds) - 1}"), "sum", ("j",)))
    steps = list(needed(steps, [out]))
    read = {operand.tensor for step in steps for operand in step.operands}
    kept = [tensor for tensor in (*parameters, Tensor("V", (units,))) if tensor.name in read]
    return program(steps, out, [Tensor("x", (None, times, 2))], kept)


GROUPED = nn.Sequential(
    [
        nn.Conv2D(4, 3, 2, "same", groups=2, activation="relu"),
        nn.MaxPooling2D(2, 1, "same"),
        nn.Conv2DTranspose(4, 3, 2, 1, groups=2, output_padding=1),
        nn.AveragePooling2D(3, 2, "same"),
        nn.Flatten(),
        nn.Dense(3, "softmax"),
    ],
    (5, 6, 2),
    "categorical_crossentropy",
    name="grouped",
)
STEPS = nn.Sequential(
    [
        nn.Conv1D(3, 2, 1, "causal", "channels_first", 2, activation="tanh"),
        nn.AveragePooling1D(2, data_format="channels_first"),
        nn.Conv1DTranspose(2, 3, 2, "same", "channels_first"),
        nn.MaxPooling1D(3, 2, 1, "channels_first"),
        nn.GlobalMaxPooling1D("channels_first"),
        nn.Dense(2),
    ],
    (2, 8),
    name="steps",
)
"""Two networks that have all layers of windows: groups and strides in a picture; channels first, and one axis."""
