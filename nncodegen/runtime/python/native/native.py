"""The interface of the native part of a compiled module (``native.pyx``) for the Python part.

Arrays are C-contiguous, of the module's precision, and checked; None stands for an array that a model does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..ground.watch import Watch


class NativeTraining(Protocol):
    """A running training in C."""

    epochs: int
    updates: int
    hook: Callable[[], Any] | None
    """The function that is asked regularly whether to end the training."""
    error: BaseException | None
    """The exception that ended the last call, if any."""

    def use(self, arrays: tuple[Array | None, ...], samples: int, validation: bool) -> None:
        """Set the data to train or to validate with: X, Y, weights, counts, spread, starts and columns of sparse X."""

    def order(self, order: Array | None, batch: int) -> None:
        """Set the size of batches; the samples are shuffled if there is an array to write their order to."""

    def set(self, members: Mapping[str, float], measures: Array, columns: int, interval: float) -> None:
        """Set the options, by the names of ``options.h``.

        measures holds sums for the metrics, columns is the number of figures of an epoch, interval the number of
        seconds between two questions whether to end.
        """

    def tell(self, counters: Array, numbers: Array) -> None:
        """Write the progress of the training to arrays of uint64 and float64."""

    def place(self, counters: Array, numbers: Array) -> None:
        """Set the progress of the training."""

    def advance(self, history: Array, factors: Array | None, factors_of_updates: bool) -> int:
        """Train for one epoch per row of history. Returns the status."""

    def parameters(self) -> Array:
        """Return a copy of the current parameters."""


class NativeFit(Protocol):
    """A running fit in C."""

    iterations: int
    """The number of iterations that are done."""
    cost: float
    """The cost of the best parameters so far."""

    def parameters(self) -> Array:
        """Return a copy of the best parameters so far."""


class Native(Protocol):
    """The functions of a compiled module that are implemented in C."""

    state_size: int
    """The number of values of state that the update rules need."""
    measures_size: int
    """The number of sums from which metrics are computed; 0 if outputs cannot be compared with targets."""
    group_size: int
    """The number of models that are trained side by side."""
    fits_lanes: int
    """The number of fits that are made side by side; 0 if fits are not made so."""
    has_hessian: bool
    """True if the module computes products with the Hessian."""
    variant: str
    """The CPUs that the kernel in use was compiled for."""
    variants: tuple[str, ...]
    """All kernels of the module that this CPU can run, the fastest first."""

    def has(self, part: str) -> bool:
        """Return whether the functions of a part can be called at once; others are compiled, or loaded, first."""

    def first_not_finite(self, values: Array, count: int) -> int:
        """Return the index of the first value that is not finite; ``count`` if all are finite."""

    def takes(self, values: Any, axes: int, columns: int) -> bool:
        """Return whether C takes an array unchanged: one or two axes, not empty, ``columns`` columns, all finite.

        This check takes a tenth of the time of finding out, in Python, what is wrong with another array.
        """

    def in_ranges(self, X: Array, rows: int) -> bool:
        """Return whether the inputs that have ranges are whole numbers within them, in all rows."""

    def predict(self, parameters: Array, X: Array | None, samples: int, outputs: Array, max_steps: int = 0) -> None:
        """Write the outputs of some rows.

        A solution of differential equations takes at most ``max_steps`` chosen steps, here and in ``jacobian``, ``fit``
        and ``fit_many``; 0, or more than the model allows, stands for what it allows.
        """

    def predict_short(self, parameters: Any, X: Any) -> Array | None:
        """Return the outputs of a few rows; None for arguments that need closer checks."""

    def jacobian(
        self, parameters: Array, X: Array | None, samples: int, derivatives: Array, max_steps: int = 0
    ) -> None:
        """Write the derivatives of the outputs of some rows."""

    def fit(
        self,
        X: Array | None,
        Y: Array,
        samples: int,
        sigma: Array | None,
        bounds: tuple[Array, Array] | None,
        fixed: Array | None,
        robust: int,
        robust_scale: float,
        tolerance: float,
        max_iterations: int,
        parameters: Array,
        residuals: Array | None,
        triangle: Array,
        active: Array,
        poles: bytearray | None,
        costs: Array,
        watch: Watch | None,
        errors: tuple[Array, Array] | None = None,
        max_steps: int = 0,
        output_error: float = 0.0,
        penalty: Array | None = None,
    ) -> tuple[float, float, int, int, int, int, int, int]:
        """Fit the model to data, starting from the given parameters, and overwrite these with the best ones.

        fixed and active are masks of eight bits (P,), poles is a mask for the guards of the facts. residuals (N,
        targets) and triangle (free, free) are float64. So are the costs after the last iterations, a ring buffer that
        overwrites the oldest. The attribute ``native`` of a watch is set to the running fit, and the watch may end it.
        errors are the standard deviations of inputs (N, inputs), and their changes (N, inputs), float64, at the start,
        which are overwritten: for a model whose last parameters are changes of its inputs, fixed at 0. A penalty (K,
        P + 1), float64, has linear functions of the parameters, half the squares of which are added to the cost: their
        derivatives, and their values where all parameters are 0.
        Returns the cost, chi2, the number of residuals used, the rank, iterations, evaluations, the number of a status,
        and the index of a sample where the loss is not convex.
        """

    def fit_groups(
        self,
        data: tuple[Array | None, ...],
        begins: Array,
        robust: int,
        robust_scale: float,
        parameters: Array,
        columns: Array,
        signs: Array | None,
        first: int,
        last: int,
        results: tuple[Array | None, ...],
        errors: tuple[Any, ...] | None = None,
    ) -> None:
        """Compute the triangles of the groups first <= g < last of G, for a fit in which groups have own parameters.

        data        X, Y and sigma, sorted by groups
        begins      (G + 1,), the first sample of each group, and the number of samples (uintp)
        parameters  (G, P)
        columns     (F,), the parameters of the columns of the triangles (uintp)
        signs       (G, guards), those at a point that no pole may separate from this one, or None (int8)
        results     triangles (G, F, F + 1), whose last columns are the right-hand sides, cost (G,), chi2 (G,), used
                    (G,) (uint64), residuals (N, targets) and signs (G, guards), which are written; those after the
                    cost, and the triangles, may be None. The cost is NaN where something is not finite. Where the
                    noise is a formula, its scales are in place of residuals, and with them the triangles are those of
                    Fisher's information, in place of those that are good for steps
        errors      those of the inputs, for a model whose last parameters are changes of its inputs, fixed at 0:
                    standard deviations (N, inputs), memory (``errors_memory``), the number of a task, which of two
                    points is the current one, whether dampings of changes are controlled; changes (N, inputs), steps
                    (G, F); and results of each group: falls, squares of lengths, own falls (float64), and whether
                    changes are damped (uint8); see NN(groups) in interface.h
        """

    def errors_memory(self, samples: int, groups: int) -> bytearray:
        """Return the memory of a fit in groups with errors in its inputs, which stays from one call to the next."""

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

    def step_sizes(self) -> tuple[int, int, int, int] | None:
        """Return the numbers of tokens, positions (0: any), values of a state and probabilities; None without steps."""

    def step(self, parameters: Array, tokens: Array, rows: int, states: Array, probabilities: Array) -> None:
        """Do one step in each of some sequences: change the states, and write the probabilities.

        tokens (rows,) are int32, states are (rows, values), 0 before the first step.
        """

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
        """Generate a sequence after each of some prompts, which lie one after the other, of these lengths.

        tokens (rows, steps) and prompts are int32, lengths and counts, the numbers of tokens before ``stop``, int64. A
        top_k of 0 stands for all tokens, a stop of -1 for none.
        """

    def fields(self, parameters: Array, X: Array, Y: Array, samples: int, values: Array) -> None:
        """Write the fields of a loss of terms at some samples: outputs, derivatives, residuals."""

    def covariance(self, triangle: Array, scale: float, least: float, covariance: Array) -> bool:
        """Write the inverse of R'R times a scale for a triangle R (F, F) whose rank is certain.

        Returns False for a scale that is not finite, for more than a few columns, and if a singular value of R, whose
        columns are divided by their norms, might be below ``least`` times the largest: see covariance.py.
        """

    def singular_values(self, matrices: Array, U: Array, singular: Array, directions: Array) -> None:
        """Write the singular value decompositions of matrices (S, M, N), M >= N, in double precision.

        U is (S, M, N), singular (S, N), directions (S, N, N): see ``FixedOrder`` in algebra.py.
        """

    def triangles(self, matrices: Array, triangles: Array) -> None:
        """Write the triangles (S, min(M, N), N) of the QR decompositions of matrices (S, M, N) in double precision."""

    def lengths(self, rows: Array, lengths: Array) -> None:
        """Write the roots of the sums of squares (S,) of rows (S, N) in double precision."""

    def loss(
        self,
        parameters: Array,
        X: Array | None,
        Y: Array | None,
        weights: Array | None,
        samples: int,
        gradient: Array | None,
    ) -> float:
        """Return the mean loss; its gradient is written to an array, unless that is None."""

    def loss_short(self, parameters: Any, X: Any, Y: Any, gradient: Array | None) -> float | None:
        """Return the mean loss like ``loss``; None for arguments that need closer checks."""

    def training(self, buffers: Array, state: Array, options: Array, optimizer: int, seed: int) -> NativeTraining:
        """Return a training of the parameters in the first of two buffers; the second is for the best."""

    def train_short(self, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return the ``Result`` of a short training; None for arguments that need closer checks."""

    def train_many(
        self,
        X: Array | None,
        Y: Array | None,
        own_X: bool,
        own_Y: bool,
        samples: int,
        batch: int,
        optimizer: int,
        options: Array,
        rates: Array,
        initial_state: Array,
        weight_decay: float,
        l2: Array | None,
        tolerance: float,
        shuffle: bool,
        random: Array,
        first: int,
        last: int,
        epochs: int,
        parameters: Array,
        loss: Array,
        history: Array | None,
        done: Array,
        status: Array,
    ) -> None:
        """Train the models first <= m < last side by side; their parameters are changed in place."""

    def fit_many(
        self,
        data: tuple[Array | None, ...],
        strides: Array,
        samples: int,
        limits: tuple[Array | None, ...],
        tolerance: float,
        max_iterations: int,
        absolute_sigma: bool,
        first: int,
        last: int,
        results: tuple[Array | None, ...],
        max_steps: int = 0,
    ) -> None:
        """Make the fits first <= m < last side by side.

        data      X, Y, sigma, the parameters at the start, the lengths (uintp) of the fits, and the standard
                  deviations of X, for a model whose last parameters are changes of its inputs, else None
        strides   of the first four of them and the last (uintp): the distance between consecutive fits, in values
        limits    the lower and upper bounds of the parameters, and which are fixed (bool)
        results   parameters, standard errors, covariances, chi2 (float64), data (uint64), iterations (uint64),
                  status (uint8) and poles (bool) of each fit, which are written
        """

    def blas_counter(self) -> object:
        """Return a new counter of running calls, for all modules that call the same library."""

    def signature(self, routine: object) -> str:
        """Return the types of a C function in a capsule, as Cython writes them."""

    def know_blas(self, calls: object, threads: int, set_threads: int) -> None:
        """Set the BLAS in use, by the addresses of the functions that return and set its number of threads."""

    def use_blas(self, routine: object) -> None:
        """Use a routine of the BLAS in use for products."""

    def blas_held(self) -> AbstractContextManager[None]:
        """Open a context in which the BLAS in use, if any, uses only the threads that call it."""
