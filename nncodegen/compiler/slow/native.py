"""The native part of a module without C: the evaluator of programs, for the same Python part as ``native.pyx`` has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from nncodegen.compiler.ir import Companion, Element, Program, columns_of, evaluate, needed, ranges_of, slices_of
from nncodegen.compiler.slow.generation import Drawing, Steps
from nncodegen.errors import CompilerNotFoundError

Array = NDArray[Any]

VARIANT = "numpy"
"""The name of a module that is not compiled, where others have that of a kernel."""

VALUES = 2**20
"""The values of all tensors that are computed at once, roughly: 8 MB."""


class NumpyNative:
    """The functions of a module that are C elsewhere; see ``Native`` for what they do.

    All numbers are computed in float64 and rounded to the precision of the program at the end. Training and fits are
    left to compiled modules.
    """

    def __init__(self, program: Program, companions: tuple[Companion, ...], reason: str) -> None:
        self._program, self._reason = program, reason
        self._dtype: np.dtype[Any] = np.dtype(program.precision)
        by_name = {companion.name: companion for companion in companions}
        self._fitting, self._hessian = _fitting(companions), by_name.get("hessian")
        self._fields = by_name.get("fields")
        self._steps = Steps(by_name["step"]) if "step" in by_name else None
        self.state_size = max((len(update.state) for update in program.updates), default=0) * program.parameter_count
        outputs = program.width(program.outputs)
        targets = sum(tensor.size for tensor in program.targets)
        self.measures_size = 2 + outputs if targets and outputs == targets else 0  # as results of trainings have
        self.group_size = 1
        self.fits_lanes = 0
        self.has_hessian = self._hessian is not None
        self.variant = VARIANT
        self.variants = (VARIANT,)

    # --- checks

    def has(self, part: str) -> bool:
        """Return that no part is to be compiled."""
        return True

    def first_not_finite(self, values: Array, count: int) -> int:
        """Return the number of the first value that is not finite; count if all are."""
        wrong = np.flatnonzero(~np.isfinite(values.ravel()[:count]))
        return int(wrong[0]) if len(wrong) else count

    def takes(self, values: Any, axes: int, columns: int) -> bool:
        """Return whether an array is as C would take it."""
        usual = type(values) is np.ndarray and values.dtype == self._dtype and values.flags.c_contiguous
        if not usual or values.ndim != axes or not values.flags.aligned:
            return False
        return bool(values.shape[-1] == columns and len(values) and np.isfinite(values).all())

    def in_ranges(self, X: Array, rows: int) -> bool:
        """Return whether the inputs that have ranges are whole numbers within them."""
        ranges = ranges_of(self._program)
        for tensor, columns in slices_of(self._program.inputs):
            if tensor.name in ranges:
                (begin, end), block = ranges[tensor.name], X[:rows, columns]
                if not ((block >= begin) & (block < end) & (block == np.floor(block))).all():
                    return False
        return True

    def covariance(self, triangle: Array, scale: float, least: float, covariance: Array) -> bool:
        """Return that the Python part is to compute it."""
        return False

    # --- short ways, of which there are none: the Python part looks at the arguments

    def predict_short(self, parameters: Any, X: Any) -> Array | None:
        """Return None."""

    def loss_short(self, parameters: Any, X: Any, Y: Any, gradient: Array | None) -> float | None:
        """Return None."""

    def train_short(self, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return None."""

    # --- outputs, losses, derivatives

    def predict(self, parameters: Array, X: Array | None, samples: int, outputs: Array, max_steps: int = 0) -> None:
        """Write the outputs of some rows. Raise CompilerNotFoundError for a limit of steps, which only fits have."""
        if max_steps:
            self._refuse("fitted")
        program = self._program
        for rows, values in _chunks(program, program.outputs, parameters, X, None, np.ones(samples)):
            outputs[rows] = self._rounded(columns_of(values, program.outputs, rows.stop - rows.start))

    def loss(
        self,
        parameters: Array,
        X: Array | None,
        Y: Array | None,
        weights: Array | None,
        samples: int,
        gradient: Array | None,
    ) -> float:
        """Return the mean loss, and write its gradient to an array, unless that is None."""
        weight = _shares(weights, samples)
        if gradient is None:
            parts = _chunks(self._program, (self._program.required_loss,), parameters, X, Y, weight)
            return float(self._rounded(sum(float(values[0]) for _, values in parts)))
        training = self._program.in_training
        total, loss = np.zeros(len(gradient)), 0.0
        wanted = (training.loss, *self._program.gradient)
        for _, (chunk_loss, *chunk_gradient) in _chunks(self._program, wanted, parameters, X, Y, weight):
            loss += float(chunk_loss)
            total += _flat(chunk_gradient)
        gradient[...] = self._rounded(total)
        return float(self._rounded(loss))

    def jacobian(
        self, parameters: Array, X: Array | None, samples: int, derivatives: Array, max_steps: int = 0
    ) -> None:
        """Write the derivatives of the outputs of some rows, (N, outputs, P), with a limit of steps as for them."""
        if max_steps:
            self._refuse("fitted")
        if self._fitting is None:
            raise ValueError("the model has no fits")
        program, count = self._fitting.program, self._fitting.outputs
        if self._fitting.forward:
            unread = np.zeros((samples, sum(tensor.size for tensor in program.targets))) if program.targets else None
            for rows, values in _chunks(program, program.outputs, parameters, X, unread, np.ones(samples)):
                columns = columns_of(values, program.outputs, rows.stop - rows.start)
                by_parameters = columns[:, -count * program.parameter_count :].reshape(len(columns), -1, count)
                derivatives[rows] = self._rounded(by_parameters.transpose(0, 2, 1))
            return
        targets = sum(tensor.size for tensor in program.targets)
        for number in range(count):
            Y = np.zeros((samples, targets))
            if count > 1:  # the last targets, but for those that say which others are known, say which output it is
                Y[:, targets - self._fitting.apart - count + number] = 1.0
            for rows, values in _chunks(program, program.outputs, parameters, X, Y, np.ones(samples)):
                columns = columns_of(values, program.outputs, rows.stop - rows.start)
                derivatives[rows, number] = self._rounded(columns[:, -program.parameter_count :])

    def hessian_products(
        self,
        parameters: Array,
        directions: Array,
        count: int,
        X: Array | None,
        Y: Array | None,
        weights: Array | None,
        samples: int,
        products: Array,
    ) -> None:
        """Write the products of the Hessian of the mean loss with some directions."""
        if self._hessian is None:
            raise ValueError("the model has no second derivatives")
        program, weight = self._hessian.program, _shares(weights, samples)
        for number in range(count):
            point, total = np.concatenate([parameters, directions[number]]), np.zeros(products.shape[1])
            for _, chunk_products in _chunks(program, program.gradient, point, X, Y, weight):
                total += _flat(chunk_products)
            products[number] = self._rounded(total)

    def fields(self, parameters: Array, X: Array, Y: Array, samples: int, values: Array) -> None:
        """Write derivatives of the outputs by the inputs, and residuals, at some samples."""
        if self._fields is None:
            raise ValueError("the model has no derivatives by inputs")
        program = self._fields.program
        for rows, chunk_fields in _chunks(program, program.outputs, parameters, X, Y, _shares(None, samples)):
            values[rows] = self._rounded(columns_of(chunk_fields, program.outputs, rows.stop - rows.start))

    # --- steps of sequences

    def step_sizes(self) -> tuple[int, int, int, int] | None:
        """Return the numbers of tokens, positions (0: any), values of a state and probabilities; None without steps."""
        return self._steps.sizes if self._steps else None

    def step(self, parameters: Array, tokens: Array, rows: int, states: Array, probabilities: Array) -> None:
        """Do one step in each of some sequences: change the states, and write the probabilities."""
        assert self._steps
        now = states.astype(float)
        probabilities[...] = self._rounded(self._steps.step(parameters, tokens, now))
        states[...] = self._rounded(now)

    def generate(
        self,
        parameters: Array,
        prompts: Array,
        lengths: Array,
        rows: int,
        steps: int,
        temperature: float,
        top_k: int,
        stop: int,
        seed: int,
        tokens: Array,
        counts: Array,
    ) -> None:
        """Generate a sequence after each of some prompts, up to the token ``stop``, if that is not -1."""
        assert self._steps
        for row, prompt in enumerate(np.split(prompts, np.cumsum(lengths)[:-1])):
            draw = Drawing(temperature, top_k, seed, row, self._program.precision)
            counts[row] = self._steps.go_on(parameters, prompt, draw, stop, tokens[row])

    # --- what takes C

    def training(self, *arguments: Any) -> NoReturn:
        """Raise CompilerNotFoundError."""
        self._refuse("trained")

    def train_many(self, *arguments: Any) -> NoReturn:
        """Raise CompilerNotFoundError."""
        self._refuse("trained")

    def fit(self, *arguments: Any) -> NoReturn:
        """Raise CompilerNotFoundError."""
        self._refuse("fitted")

    def fit_many(self, *arguments: Any) -> NoReturn:
        """Raise CompilerNotFoundError."""
        self._refuse("fitted")

    def fit_groups(self, *arguments: Any) -> NoReturn:
        """Raise CompilerNotFoundError."""
        self._refuse("fitted")

    def errors_memory(self, samples: int, groups: int) -> NoReturn:
        """Raise CompilerNotFoundError."""
        self._refuse("fitted")

    def _refuse(self, what: str) -> NoReturn:
        advice = "build the model again with a C compiler"
        name = self._program.name
        raise CompilerNotFoundError(f"{name} is not compiled ({self._reason}), and cannot be {what}: {advice}")

    # --- BLAS, which NumPy calls by itself

    def blas_counter(self) -> object:
        """Return None: nothing is counted."""
        return None

    def signature(self, routine: object) -> str:
        """Return an empty text: no routine is called from here."""
        return ""

    def know_blas(self, calls: object, threads: int, set_threads: int) -> None:
        """Do nothing."""

    def use_blas(self, routine: object) -> None:
        """Do nothing."""

    def blas_held(self) -> AbstractContextManager[None]:
        """Return a context that changes nothing."""
        return nullcontext()

    def _rounded(self, values: Any) -> Any:
        """Return values in the precision of the model."""
        with np.errstate(over="ignore"):
            return np.asarray(values).astype(self._dtype)


def _fitting(companions: Sequence[Companion]) -> Companion | None:
    """Return the companion whose outputs are the rows of a fit, if there is one."""
    return next((companion for companion in companions if companion.outputs), None)


def _chunks(
    program: Program,
    results: Sequence[Element],
    parameters: Array,
    X: Array | None,
    Y: Array | None,
    weight: Array,
) -> Iterator[tuple[slice, list[Array]]]:
    """Yield the rows of each part of the samples, and the values of some results of a program there.

    Where the program has statistics of a batch in training, all samples are one part.
    """
    steps = needed(program.steps, results)
    width = sum(program.count(index for index in step.indices if program.sizes[index]) for step in steps)
    whole = program.batch is not None and any(element in program.gradient for element in results)
    size = len(weight) if whole else max(1, VALUES // max(1, width))
    for first in range(0, len(weight), size):
        rows = slice(first, min(first + size, len(weight)))
        inputs, targets = (None if array is None else np.asarray(array[rows], float) for array in (X, Y))
        values = evaluate(program, parameters, inputs, targets, weight[rows], results=results)
        yield rows, [values[element.tensor] for element in results]


def _flat(arrays: Sequence[Array]) -> Array:
    """Return the values of arrays one after the other; there may be no array."""
    return np.concatenate([np.zeros(0), *map(np.ravel, arrays)])


def _shares(weights: Array | None, samples: int) -> Array:
    """Return the weight of each sample, divided by the sum of all."""
    weight = np.ones(samples) if weights is None else np.asarray(weights, float)
    return np.asarray(weight / weight.sum())
