"""PyTorch: eager, with autograd and fused updates; with steps in torch.compile; and as tutorials write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its name everywhere)

from nncodegen.bench.convolving import Windowed
from nncodegen.bench.peers import Run
from nncodegen.bench.peers.formulas import iterations, peaks
from nncodegen.bench.peers.torch_equations import nested
from nncodegen.bench.peers.torch_transformers import gradient as of_transformer
from nncodegen.bench.recurring import Sequences
from nncodegen.bench.tasks import Array, Equation, Gradient, Peaks, PerceptronTask, Prediction, Stack, Task, Training

UNROLLED = (9, 3, 1)
"""Iterations of a formula in one compiled call, which share its overhead: the first that divides their number."""


def eager(task: Task, threads: int) -> Run:
    """Return the run of a task, operation by operation."""
    return _make(task, threads, compiles=False)


def compiled(task: Task, threads: int) -> Run:
    """Return the run of a task, each step one compiled call."""
    return _make(task, threads, compiles=True)


def modules(task: Task, threads: int) -> Run:
    """Return the run of a task with torch.nn modules, a loss and an optimizer, as tutorials write it."""
    torch.set_num_threads(threads)
    if isinstance(task, Prediction):
        assert isinstance(task.stack, Stack)
        return _predict(task, torch.nn.Sequential(*_modules(task.stack, task.parameters), torch.nn.Softmax(1)))
    assert isinstance(task, Training)
    return _modules_training(task)


def _make(task: Task, threads: int, compiles: bool) -> Run:
    torch.set_num_threads(threads)
    if isinstance(task, PerceptronTask):
        return _formula(task, compiles)
    if isinstance(task, Prediction):
        return _prediction(task, compiles)
    if isinstance(task, Equation):
        return nested(task)
    if isinstance(task, Gradient):
        return of_transformer(task, compiles)
    assert isinstance(task, Training)
    return _compiled_training(task) if compiles else _eager_training(task)


def _formula(task: PerceptronTask, compiles: bool) -> Run:
    """Return the run of a formula, with a gradient written by hand: with autograd it would take longer."""
    simultaneous, sequential = iterations(torch.exp)
    iterate = sequential if task.sequential else simultaneous
    x1, x2, y = (*map(float, task.x[0]), float(task.y[0, 0]))
    shape = () if len(task.starts) == 1 else (len(task.starts),)
    start = tuple(torch.tensor(row).reshape(shape) for row in task.starts.T)
    at_once = next(k for k in UNROLLED if task.iterations % k == 0) if compiles else 1

    def step(p: Any) -> Any:
        for _ in range(at_once):
            p = iterate(p, x1, x2, y, task.learning_rate)
        return p

    advance = torch.compile(step) if compiles else step

    @torch.inference_mode()
    def run() -> Array:
        p = start
        for _ in range(task.iterations // at_once):
            p = advance(p)
        result: Array = torch.stack(p).reshape(len(p), -1).T.numpy()
        return result

    return run  # type: ignore[no-any-return]


def _forward(stack: Any, parameters: Any, x: Any) -> Any:
    """Return the output of the last layer before its softmax."""
    if isinstance(stack, Windowed):
        return _windowed(stack, parameters, x)
    if isinstance(stack, Sequences):
        return _recurrent(stack, parameters, x)
    if isinstance(stack, Peaks):
        return peaks(torch.exp, parameters[0], x[:, 0], fused=torch.compiler.is_compiling())[:, None]
    for W, b in parameters[:-1]:
        x = _linear(x, W, b)
        x = torch.tanh(x) if stack.hidden == "tanh" else torch.relu(x)
    return _linear(x, *parameters[-1])


def _windowed(stack: Windowed, parameters: Any, x: Any) -> Any:
    """Return the output of the last layer before its softmax; channels are the first axis of samples, as in PyTorch."""
    x = x.unflatten(1, stack.shape).movedim(-1, 1)
    convolve, pool = (F.conv1d, F.max_pool1d) if stack.axes == 1 else (F.conv2d, F.max_pool2d)
    for W, b in parameters[: len(stack.filters)]:
        x = torch.relu(convolve(x, W, b))
        x = pool(x, 2) if stack.pools else x
    x = x.flatten(1) if stack.pools else x.flatten(2).mean(2)
    for W, b in parameters[len(stack.filters) : -1]:
        x = torch.relu(F.linear(x, W, b))
    return F.linear(x, *parameters[-1])


def _recurrent(stack: Sequences, parameters: Any, x: Any) -> Any:
    """Return the output of PyTorch's LSTM, which has two biases, and a linear layer."""
    (W, U, b), *dense = parameters
    zeros = torch.zeros(1, len(x), stack.units, dtype=x.dtype)
    weights, x = (W, U, b, torch.zeros_like(b)), x.unflatten(1, (stack.steps, stack.features))
    training = torch.is_grad_enabled()
    recurrent: Any = torch.lstm
    outputs, _, _ = recurrent(x, (zeros, zeros), weights, True, 1, 0.0, training, False, True)
    return F.linear(outputs[:, -1], *dense[0]) if dense else outputs[:, -1]


def _linear(x: Any, W: Any, b: Any) -> Any:
    """Return a layer without its activation; for many models at once, if W has an axis for them."""
    return F.linear(x, W, b) if W.ndim == 2 else torch.baddbmm(b[:, None], x.expand(len(W), -1, -1), W.mT)


def _prediction(task: Prediction, compiles: bool) -> Run:
    parameters = _start(task.stack, task.parameters)
    classifies = task.stack.classifies

    def forward(x: Any) -> Any:
        z = _forward(task.stack, parameters, x)
        return F.softmax(z, 1) if classifies else z

    return _predict(task, torch.compile(forward) if compiles else forward)


def _predict(task: Prediction, forward: Callable[[Any], Any]) -> Run:
    """Return the run of a prediction that calls a function with the rows."""

    @torch.inference_mode()
    def run() -> Array:
        result: Array = forward(torch.from_numpy(task.X)).numpy()
        return result

    return run  # type: ignore[no-any-return]


def _loss(task: Training) -> Callable[[Any, Any, Any], Any]:
    function = F.cross_entropy if task.stack.classifies else F.mse_loss

    def of_many(parameters: Any, x: Any, y: Any) -> Any:
        """Return the sum of the losses of all models; each loss depends only on the parameters of its model."""
        z = _forward(task.stack, parameters, x)
        return len(z) * function(z.flatten(0, 1), torch.cat([y] * len(z)))

    return of_many if task.models else lambda parameters, x, y: function(_forward(task.stack, parameters, x), y)


def _eager_training(task: Training) -> Run:
    loss, batches = _loss(task), _batches(task)

    def run() -> Array:
        layers = _start(task.stack, task.start)
        parameters = [part.requires_grad_() for parts in layers for part in parts]
        adam = torch.optim.Adam(parameters, lr=task.learning_rate, fused=True)
        for _ in range(task.epochs):
            for x, y in batches:
                gradients = torch.autograd.grad(loss(layers, x, y), parameters)
                if task.optimizer == "adam":
                    for parameter, gradient in zip(parameters, gradients, strict=True):
                        parameter.grad = gradient.contiguous()  # the fused update expects this
                    adam.step()
                else:
                    with torch.no_grad():  # as in torch.optim.SGD, without its overhead
                        torch._foreach_add_(parameters, gradients, alpha=-task.learning_rate)
        return _pack(task.stack, [tuple(part.detach().numpy() for part in parts) for parts in layers])

    return run


def _compiled_training(task: Training) -> Run:
    loss, batches = _loss(task), _batches(task)

    def sgd(layers: Any, x: Any, y: Any) -> None:
        for pair, gradients in zip(layers, torch.func.grad(loss)(layers, x, y), strict=True):
            for parameter, gradient in zip(pair, gradients, strict=True):
                parameter.sub_(task.learning_rate * gradient)

    def adam(layers: Any, x: Any, y: Any, ms: Any, vs: Any, scale: Any, correction: Any) -> None:
        every = zip(layers, torch.func.grad(loss)(layers, x, y), ms, vs, strict=True)
        for parameter, gradient, m, v in (some for four in every for some in zip(*four, strict=True)):
            m.lerp_(gradient, 1 - 0.9)
            v.lerp_(gradient * gradient, 1 - 0.999)
            parameter.sub_(scale * m / (torch.sqrt(v * correction) + 1e-8))

    step = torch.compile(sgd if task.optimizer == "sgd" else adam, dynamic=False)

    @torch.no_grad()
    def run() -> Array:
        layers, t = _start(task.stack, task.start), 0
        ms, vs = ([tuple(map(torch.zeros_like, pair)) for pair in layers] for _ in "mv")
        for _ in range(task.epochs):
            for x, y in batches:
                if task.optimizer == "sgd":
                    step(layers, x, y)
                    continue
                t += 1
                numbers = (task.learning_rate / (1 - 0.9**t), 1 / (1 - 0.999**t))
                step(layers, x, y, ms, vs, *(torch.tensor(number, dtype=x.dtype) for number in numbers))
        return _pack(task.stack, [tuple(part.numpy() for part in parts) for parts in layers])

    return run  # type: ignore[no-any-return]


def _modules(stack: Stack, flat: Array) -> torch.nn.Sequential:
    """Return the layers of a stack, without the softmax of the last, from flat parameters."""
    activation = torch.nn.Tanh if stack.hidden == "tanh" else torch.nn.ReLU
    layers: list[Any] = []
    for W, b in _start(stack, flat):
        linear = torch.nn.Linear(W.shape[1], W.shape[0], dtype=W.dtype)
        linear.load_state_dict({"weight": W, "bias": b})
        layers += [linear, activation()]
    return torch.nn.Sequential(*layers[:-1])


def _modules_training(task: Training) -> Run:
    stack, batches = task.stack, _batches(task)
    assert isinstance(stack, Stack)
    loss = torch.nn.CrossEntropyLoss() if stack.classifies else torch.nn.MSELoss()
    optimizers = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}

    def run() -> Array:
        model = _modules(stack, task.start)
        optimizer = optimizers[task.optimizer](model.parameters(), lr=task.learning_rate)
        for _ in range(task.epochs):
            for x, y in batches:
                optimizer.zero_grad()
                loss(model(x), y).backward()
                optimizer.step()
        return stack.pack([[part.detach().numpy() for part in model.parameters()]])

    return run


def _batches(task: Training) -> list[tuple[Any, Any]]:
    targets = task.Y if task.labels is None else task.labels.astype(np.int64)
    return [(torch.from_numpy(task.X[rows]), torch.from_numpy(targets[rows])) for rows in task.batches()]


def _start(stack: Any, flat: Array) -> Any:
    return [tuple(map(torch.tensor, parts)) for parts in _with_channels_first(stack, stack.unpack(flat), True)]


def _pack(stack: Any, layers: Any) -> Array:
    """Return flat parameters from arrays of PyTorch."""
    packed: Array = stack.pack(_with_channels_first(stack, list(layers), False))
    return packed


def _with_channels_first(stack: Any, layers: Any, first: bool) -> Any:
    """Return the layers; weights of the one after a Flatten are reordered to channels first, or back to last."""
    if not isinstance(stack, Windowed) or not stack.pools:
        return layers
    place, left = len(stack.filters), stack.left
    W, b = layers[place]
    shape, (source, target) = (left, (-1, 1)) if first else ((left[-1], *left[:-1]), (1, -1))
    W = np.moveaxis(W.reshape(-1, *shape), source, target)
    return [*layers[:place], (np.ascontiguousarray(W).reshape(len(b), -1), b), *layers[place + 1 :]]
