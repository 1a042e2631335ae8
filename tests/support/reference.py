"""A training written plainly, beside that in C: gradients by the evaluator, updates by the steps of their rules."""

import numpy as np

from nncodegen.compiler.ir import evaluate
from nncodegen.compiler.ir.evaluate import interpret
from tests.support.random_numbers import noise_of, shuffled


def trained(program, parameters, X, Y, optimizer="sgd", **options):
    """The parameters after a training, in float64.

    ``options`` are those of ``train``: learning_rate, epochs, batch_size, update, sample_weight, seed, l1, l2,
    weight_decay, clipvalue, clipnorm. All samples are one batch unless batch_size is given; then they are shuffled.
    """
    rows = [np.asarray(each, float).reshape(len(each), -1) for each in (X, _targets(program, Y))]
    training = _Training(program, optimizer, rows, options)
    return training.run(np.asarray(parameters, float))


def _targets(program, Y):
    """The targets as columns: numbers of classes become indicators."""
    Y, columns = np.asarray(Y), sum(tensor.size for tensor in program.targets)
    return np.eye(columns)[Y] if Y.ndim == 1 and columns > 1 else Y


class _Training:
    def __init__(self, program, optimizer, rows, options):
        self.update = next(update for update in program.updates if update.name == optimizer)
        self.program, (self.X, self.Y), self.options = program, rows, options
        self.sizes = [tensor.size for tensor in program.parameters]
        self.weights = options.get("sample_weight")
        self.weights = np.ones(len(self.X)) if self.weights is None else np.asarray(self.weights, float)
        known = {hyper.name: hyper.default for hyper in self.update.hyperparameters}
        self.hyper = known | {name: options[name] for name in known if name in options}
        self.updates = 0

    def run(self, parameters):
        starts = [self.hyper[start] if isinstance(start, str) else start for start in self.update.initial]
        state = [np.full(len(parameters), float(start)) for start in starts]
        count, seed = len(self.X), self.options.get("seed", 0)
        size = self.options.get("batch_size") or count
        random = seed
        for _ in range(self.options.get("epochs", 1)):
            order = np.arange(count)
            if size < count:
                order, random = shuffled(count, random)
            for first in range(0, count, size):
                numbers = order[first : first + size]
                noise = self.noise(numbers, seed)
                sequential = self.options.get("update") == "sequential"
                places = range(len(parameters)) if sequential else [slice(None)]
                for place in places:
                    parameters, state = self.step(parameters, state, numbers, noise, place)
                self.updates += 1
        return parameters

    def noise(self, numbers, seed):
        """The noise of an update, in the shapes of its tensors."""
        drawn = noise_of(self.program.noise, self.program.precision, seed, self.updates, numbers)
        shapes = {source.tensor.name: source.tensor.shape[1:] for source in self.program.noise}
        return {name: array.reshape(len(numbers), *shapes[name]) for name, array in drawn.items()}

    def step(self, parameters, state, numbers, noise, place):
        """Parameters and state where those at a place have changed."""
        weights = self.weights[numbers] / (self.weights.sum() * len(numbers) / len(self.X))
        wanted = self.program.gradient
        values = evaluate(
            self.program, parameters, self.X[numbers], self.Y[numbers], weights, noise=noise, results=wanted
        )
        joined = np.concatenate([np.ravel(values[element.tensor]) for element in wanted])
        followed, momentum, frozen, penalized = map(
            self.of_each,
            (
                lambda t: t.momentum is not None,
                lambda t: t.momentum or 0.0,
                lambda t: not t.trained,
                lambda t: t.penalized and t.trained,
            ),
        )
        gradient = self.changed(np.where(followed, 0.0, joined), parameters, penalized)
        known = {"parameter": parameters, "gradient": gradient, "t": float(self.updates + 1), **self.hyper}
        known |= dict(zip(self.update.state, state, strict=True))
        for step in self.update.steps:
            read = {operand: known[operand.tensor] for operand in step.operands}
            known[step.target.tensor] = interpret(step.expression, read, exact=False)
        following, *states = (np.broadcast_to(known[e.tensor], parameters.shape) for e in self.update.results)
        decay = self.hyper["learning_rate"] * (self.options.get("weight_decay") or 0.0)
        following = np.where(frozen, parameters, following - decay * parameters)
        following = np.where(followed, momentum * parameters + (1 - momentum) * joined, following)
        chosen = np.zeros(len(parameters), bool)
        chosen[place] = True
        changed = [np.where(chosen, new, old) for new, old in zip(states, state, strict=True)]
        return np.where(chosen, following, parameters), changed

    def of_each(self, what):
        """A property of tensors, for each parameter."""
        return np.repeat([what(tensor) for tensor in self.program.parameters], self.sizes)

    def changed(self, gradient, parameters, penalized):
        """The gradient with penalties, then clipped."""
        l1, l2, value, norm = (self.options.get(name) or 0.0 for name in ("l1", "l2", "clipvalue", "clipnorm"))
        gradient = gradient + np.where(penalized, l2 * parameters + l1 * np.sign(parameters), 0.0)
        gradient = np.clip(gradient, -value, value) if value else gradient
        length = np.linalg.norm(gradient)
        return gradient * (norm / length) if norm and length > norm else gradient
