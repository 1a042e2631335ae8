"""The native part of a compiled module (``native.pyx``), as the Python part sees it.

Arrays are C-contiguous and of the module's precision, checked before; None stands for an array that a model has not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .result import Result
    from .types import Array


class NativeTraining(Protocol):
    """A training that is under way in C."""

    epochs: int
    updates: int
    hook: Callable[[], Any] | None
    """What is asked now and then whether to end the training."""
    error: BaseException | None
    """What ended the last call, if it was an exception."""

    def use(self, arrays: tuple[Array | None, ...], samples: int, validation: bool) -> None:
        """Sets what to train on, or to validate with: X, Y, weights, counts, spread, starts and columns of sparse X."""

    def order(self, order: Array | None, batch: int) -> None:
        """Sets the size of batches; the samples are shuffled if there is an array to write their order to."""

    def set(self, members: Mapping[str, float], measures: Array, columns: int, interval: float) -> None:
        """Sets the options, by the names of ``options.h``.

        measures holds sums for the metrics, columns is the number of figures of an epoch, interval the seconds
        between two questions whether to end.
        """

    def tell(self, counters: Array, numbers: Array) -> None:
        """Writes where the training is to arrays of uint64 and float64."""

    def place(self, counters: Array, numbers: Array) -> None:
        """Sets where the training is."""

    def advance(self, history: Array, factors: Array | None, factors_of_updates: bool) -> int:
        """Trains for as many epochs as history has rows for. Returns the status."""

    def parameters(self) -> Array:
        """A copy of the current parameters."""


class Native(Protocol):
    """The functions of a compiled module that are C."""

    state_size: int
    """The values of state that the update rules need."""
    measures_size: int
    """The sums that metrics are made of; 0 where outputs cannot be compared with targets."""
    group_size: int
    """The models that are trained side by side."""
    fits_lanes: int
    """The fits that are made side by side; 0 where none are."""
    has_hessian: bool
    """Whether there are products with the Hessian."""
    variant: str
    """The CPUs that the kernel in use was compiled for."""
    variants: tuple[str, ...]
    """All kernels of the module that this CPU can run, the fastest first."""

    def first_not_finite(self, values: Array, count: int) -> int:
        """The number of the first value that is not finite; count if all are."""

    def takes(self, values: Any, axes: int, columns: int) -> bool:
        """Whether C takes an array as it is: of one or two axes, not empty, with so many columns, all finite.

        That is found in a tenth of the time that it takes to say in Python what is wrong with others.
        """

    def predict(self, parameters: Array, X: Array | None, samples: int, outputs: Array) -> None:
        """Writes the outputs of some rows."""

    def predict_short(self, parameters: Any, X: Any) -> Array | None:
        """The outputs of a few rows; None for arguments that must be looked at more closely."""

    def jacobian(self, parameters: Array, X: Array | None, samples: int, derivatives: Array) -> None:
        """Writes the derivatives of the outputs of some rows."""

    def fit(
        self, X: Array | None, Y: Array, samples: int, sigma: Array | None, bounds: tuple[Array, Array] | None,
        fixed: Array | None, robust: int, robust_scale: float, tolerance: float, max_iterations: int,
        parameters: Array, residuals: Array | None, triangle: Array, active: Array, poles: Array | None,
        history: Array | None,
    ) -> tuple[float, float, int, int, int, int, int, int]:  # fmt: skip
        """Fits the model to data, from the parameters that are given, and writes the best there.

        fixed and active are masks of eight bits (P,), poles is one for the guards of the facts; residuals (N, targets)
        and triangle (free, free) are float64, and so is history (max_iterations,), the cost after each. Returns the
        cost, chi2, the residuals used, the rank, iterations, evaluations, the number of a status, and that of a sample
        where the loss is not convex.
        """

    def hessian_products(
        self, parameters: Array, directions: Array, count: int, X: Array | None, Y: Array | None,
        weights: Array | None, samples: int, products: Array,
    ) -> None:  # fmt: skip
        """Writes the products of the Hessian of the mean loss with some directions."""

    def fields(self, parameters: Array, X: Array, Y: Array, samples: int, values: Array) -> None:
        """Writes what is known at some samples besides the outputs, where the loss has terms."""

    def covariance(self, triangle: Array, scale: float, least: float, covariance: Array) -> bool:
        """Writes the inverse of R'R times a scale for a triangle R (F, F) whose rank is not in doubt.

        False for a scale that is not finite, for more than a few columns, and where a singular value of R, whose
        columns are divided by their norms, might be below ``least`` times the largest: see covariance.py.
        """

    def loss(
        self, parameters: Array, X: Array | None, Y: Array | None, weights: Array | None, samples: int,
        gradient: Array | None,
    ) -> float:  # fmt: skip
        """The mean loss; its gradient is written to an array, unless that is None."""

    def loss_short(self, parameters: Any, X: Any, Y: Any, gradient: Array | None) -> float | None:
        """The same; None for arguments that must be looked at more closely."""

    def training(self, buffers: Array, state: Array, options: Array, optimizer: int, seed: int) -> NativeTraining:
        """A training of the parameters in the first of two buffers; the second is for the best."""

    def train_short(self, given: tuple[Any, ...], named: dict[str, Any]) -> Result | None:
        """The Result of a short training; None for arguments that must be looked at more closely."""

    def train_many(
        self, X: Array | None, Y: Array | None, own_X: bool, own_Y: bool, samples: int, batch: int, optimizer: int,
        options: Array, rates: Array, initial_state: Array, weight_decay: float, l2: Array | None, tolerance: float,
        shuffle: bool, random: Array, first: int, last: int, epochs: int, parameters: Array, loss: Array,
        history: Array | None, done: Array, status: Array,
    ) -> None:  # fmt: skip
        """Trains the models first <= m < last side by side; their parameters are changed in place."""

    def fit_many(
        self, data: tuple[Array | None, ...], strides: Array, samples: int, limits: tuple[Array | None, ...],
        tolerance: float, max_iterations: int, absolute_sigma: bool, first: int, last: int,
        results: tuple[Array | None, ...],
    ) -> None:  # fmt: skip
        """Makes the fits first <= m < last side by side.

        data      X, Y, sigma, the parameters at the start, and the lengths (uintp) of the fits
        strides   of the first four of them (uintp): how many values those of a fit lie behind those of the one before
        limits    the lower and upper bounds of the parameters, and which are fixed (bool)
        results   parameters, standard errors, covariances, chi2 (float64), data (uint64), iterations (uint64),
                  status (uint8) and poles (bool) of each fit, which are written
        """

    def blas_counter(self) -> object:
        """A new count of calls under way, for all modules that call the same library."""

    def signature(self, routine: object) -> str:
        """The types of a C function in a capsule, as Cython writes them."""

    def know_blas(self, calls: object, threads: int, set_threads: int) -> None:
        """Makes a BLAS known; the addresses are of what tells and what sets its threads."""

    def use_blas(self, routine: object) -> None:
        """Leaves products to a routine of the BLAS that is known."""

    def blas_held(self) -> AbstractContextManager[None]:
        """A context in which the BLAS that is known, if any, uses no threads but those that call it."""
