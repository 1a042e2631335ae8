"""The Python part of a compiled module: it checks arguments and calls the native part.

Its text is compiled into every module, where the names that are only declared here have their values; nncodegen
itself never imports it. NumPy is all it needs.
"""

import math
import numbers
import warnings
from typing import Any

import numpy as np

precision: str
input_names: tuple[str, ...]
target_names: tuple[str, ...]
output_count: int
parameter_count: int
parameter_shapes: dict[str, tuple[int, ...]]
accepts_labels: bool
_INITIAL: tuple[tuple[tuple[int, ...], str, float], ...]
_OPTIMIZERS: dict[str, tuple[int, dict[str, tuple[float, float, float, bool]]]]
_state_size: int
_native_first_not_finite: Any
_native_predict: Any
_native_predict_few: Any
_native_loss: Any
_NativeTraining: Any

_STATUS = ("completed", "converged", "diverged", "interrupted")
_EPOCHS_AT_ONCE = 8192

dtype = np.dtype(precision)


class Result:
    """What ``train`` returns.

    parameters   (P,), after the last completed update
    loss         the loss at these parameters on the training data
    history      (epochs,), the mean loss of each epoch, as it was met before the updates
    epochs       the number of completed epochs
    status       "completed", "converged" (no parameter changed by ``tolerance``), "diverged" or "interrupted"
    """

    __slots__ = ("epochs", "history", "loss", "parameters", "status")

    def __init__(self, parameters: Any, loss: float, history: Any, epochs: int, status: str) -> None:
        self.parameters = parameters
        self.loss = loss
        self.history = history
        self.epochs = epochs
        self.status = status

    def __repr__(self) -> str:
        return f"<Result: {self.status} after {self.epochs} epochs, loss {self.loss:.6g}>"


def initial_parameters(seed: int = 0) -> Any:
    """New parameters of shape (P,): a formula's own initial values, a network's from a seed."""
    generator = np.random.default_rng(_integer("seed", seed, 0, 2**64 - 1))
    parts = [_draw(generator, distribution, scale, math.prod(shape)) for shape, distribution, scale in _INITIAL]
    return np.concatenate(parts).astype(dtype)


def unpack(parameters: Any) -> dict[str, Any]:
    """The parameters by name: views into the array, in the shape of each ({"W1": (units, inputs), ...})."""
    array = np.asarray(parameters)
    if array.shape != (parameter_count,):
        raise ValueError(f"parameters has the shape {array.shape}; expected ({parameter_count},)")
    views = {}
    start = 0
    for name, shape in parameter_shapes.items():
        size = math.prod(shape)
        views[name] = array[start : start + size].reshape(shape)
        start += size
    return views


def predict(parameters: Any, X: Any = None) -> Any:
    """The outputs for the rows of X, of shape (N, inputs): an array of shape (N, outputs).

    Those of up to four rows are computed in an order of their own, and agree with those of many to rounding.
    """
    few = _native_predict_few(parameters, X)
    if few is not None:
        return few
    parameters = _parameters(parameters)
    X, samples = _inputs(X)
    outputs = np.empty((samples, output_count), dtype)
    _native_predict(parameters, X, samples, outputs)
    return outputs


def loss(parameters: Any, X: Any = None, Y: Any = None, sample_weight: Any = None) -> float:
    """The mean loss over the samples; with sample_weight, of shape (N,), the weighted mean."""
    parameters = _parameters(parameters)
    X, Y, samples = _samples(X, Y)
    value: float = _native_loss(parameters, X, Y, _weights(sample_weight, samples), samples, None)
    return value


def loss_and_gradient(parameters: Any, X: Any = None, Y: Any = None, sample_weight: Any = None) -> tuple[float, Any]:
    """The mean loss over the samples and its gradient, of shape (P,): what SciPy's minimizers take."""
    parameters = _parameters(parameters)
    X, Y, samples = _samples(X, Y)
    gradient = np.empty(parameter_count, dtype)
    value = _native_loss(parameters, X, Y, _weights(sample_weight, samples), samples, gradient)
    return value, gradient


def train(
    X: Any = None,
    Y: Any = None,
    parameters: Any = None,
    optimizer: str = "sgd",
    learning_rate: float = 0.01,
    epochs: int = 100,
    batch_size: "int | None" = None,
    shuffle: "bool | None" = None,
    seed: int = 0,
    update: str = "simultaneous",
    tolerance: float = 0.0,
    **hyperparameters: float,
) -> Result:
    """Minimizes the mean loss over the samples, natively and without the interpreter's lock.

    X               (N, inputs); nothing for a formula without inputs
    Y               (N, targets), or (N,) for one target; class labels as integers (N,) for a categorical loss
    parameters      (P,), where to start; by default initial_parameters(seed)
    optimizer       a name in ``optimizers``, which lists the hyperparameters of each; sgd takes momentum and
                    nesterov, too
    learning_rate   the step for each gradient, above 0
    epochs          how often every sample is used, at least 1
    batch_size      samples for one update, 1 to N; all of them by default
    shuffle         whether every epoch has an order of its own; by default, if there are several batches
    seed            of the order, and of the initial parameters
    update          "simultaneous", or "sequential": one parameter at a time, the next with a new gradient
    tolerance       stop after an epoch in which no parameter changed by as much in an update; 0 to go on

    Returns a Result. A loss or parameter that is no longer finite ends the training with the status "diverged"
    and a RuntimeWarning. Ctrl-C raises KeyboardInterrupt, whose attribute ``result`` holds what was reached.
    Raises ValueError for an argument that cannot be meant.
    """
    X, Y, samples = _samples(X, Y)
    seed = _integer("seed", seed, 0, 2**64 - 1)
    start = initial_parameters(seed) if parameters is None else _parameters(parameters)
    number, options = _optimizer(optimizer, learning_rate, hyperparameters)
    epochs = _integer("epochs", epochs, 1, 2**63 - 1)
    batch = samples if batch_size is None else _integer("batch_size", batch_size, 1, samples, "the number of samples")
    if shuffle is not None and not isinstance(shuffle, bool | np.bool_):
        raise ValueError(f"shuffle must be True, False or None, not {shuffle!r}")
    shuffles = batch < samples if shuffle is None else bool(shuffle)
    if update not in ("simultaneous", "sequential"):
        raise ValueError(f"there is no update {update!r}; there are: simultaneous, sequential")
    tolerance = _number("tolerance", tolerance, 0.0, math.inf, False)

    buffers = np.zeros((3, parameter_count), dtype)  # the parameters, the next ones, the gradient
    buffers[:2] = start
    state = np.zeros(max(1, _state_size), dtype)
    order = np.arange(samples, dtype=np.uintp) if shuffles else None
    training = _NativeTraining(
        X, Y, samples, batch, number, options, tolerance, shuffles, update == "sequential", seed, buffers, state, order
    )
    chunks: list[tuple[int, Any]] = []  # the first epoch and the losses of each call
    status = "completed"
    try:
        while status == "completed" and training.epochs < epochs:
            chunks.append((training.epochs, np.empty(min(epochs - training.epochs, _EPOCHS_AT_ONCE))))
            status = _STATUS[training.advance(chunks[-1][1])]
        if status == "interrupted":
            raise training.stop_reason
        reached = buffers[training.row].copy()
        final = _native_loss(reached, X, Y, None, samples, None)
    except BaseException as interrupt:  # Ctrl-C, or whatever a signal handler of the caller raises
        history = _history(chunks, training.epochs)
        last = float(history[-1]) if len(history) else math.nan
        reached = buffers[training.row].copy()
        interrupt.result = Result(reached, last, history, training.epochs, "interrupted")  # type: ignore[attr-defined]
        if not interrupt.args:
            held = "the attribute result of this exception holds what was reached"
            interrupt.args = (f"interrupted after {training.epochs} epochs; {held}",)
        raise
    return _finish(Result(reached, final, _history(chunks, training.epochs), training.epochs, status))


def _history(chunks: list[tuple[int, Any]], epochs: int) -> Any:
    """The losses of the completed epochs."""
    return np.concatenate([losses[: max(0, epochs - begin)] for begin, losses in chunks] or [np.empty(0)])


def _finish(result: Result) -> Result:
    """The result, with a warning where the training diverged."""
    if result.status == "diverged" or not math.isfinite(result.loss):
        result.status = "diverged"
        warnings.warn(
            f"training diverged after {result.epochs} epochs: the loss or a parameter is no longer finite; the "
            f"parameters are those of the last completed update; try a lower learning_rate, or scale X and Y",
            RuntimeWarning,
            stacklevel=3,
        )
    return result


def _draw(generator: Any, distribution: str, scale: float, size: int) -> Any:
    """Initial values of one parameter."""
    if distribution == "constant":
        return np.full(size, scale)
    if distribution == "uniform":
        return generator.uniform(-scale, scale, size)
    values = generator.standard_normal(size)
    if distribution == "truncated_normal":
        outside = np.flatnonzero(abs(values) > 2)
        while len(outside):
            values[outside] = generator.standard_normal(len(outside))
            outside = outside[abs(values[outside]) > 2]
    return scale * values


# --- arguments ---------------------------------------------------------------------------------------------------


def _inputs(X: Any) -> tuple[Any, int]:
    """X as an array of the module's precision (None without inputs), and the number of samples."""
    if input_names:
        X = _matrix("X", X, input_names)
        return X, len(X)
    if X is not None:
        raise ValueError("X was given, but the model has no inputs: leave it out")
    return None, 1


def _samples(X: Any, Y: Any) -> tuple[Any, Any, int]:
    """X and Y as arrays of the module's precision (None where the model has none), and the number of samples."""
    X, samples = _inputs(X)
    if target_names:
        Y = _matrix("Y", _one_hot(Y), target_names)
        if input_names and len(Y) != samples:
            raise ValueError(f"X has {samples} rows, but Y has {len(Y)}: they must have as many")
        return X, Y, len(Y)
    if Y is not None:
        raise ValueError("Y was given, but the model has no targets: leave it out")
    return X, None, samples


def _matrix(name: str, values: Any, columns: tuple[str, ...]) -> Any:
    expected = f"expected (samples, {len(columns)}), with the columns {_listed(columns)}"
    if values is None:
        raise ValueError(f"{name} is missing: {expected}")
    array = _array(name, values, expected)
    if array.ndim == 1 and len(columns) == 1:
        array = array.reshape(-1, 1)
    if array.ndim != 2 or array.shape[1] != len(columns):
        hint = f"; for one sample, give it as [{name}]" if array.shape == (len(columns),) else ""
        raise ValueError(f"{name} has the shape {array.shape}; {expected}{hint}")
    if not len(array):
        raise ValueError(f"{name} is empty; {expected}, and at least one sample")
    return _finite(name, array, expected)


def _array(name: str, values: Any, expected: str) -> Any:
    """An array of real numbers, or a ValueError that names the first value that is none."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} is no array, its rows differ in length; {expected}") from error
    if np.ma.is_masked(values):
        raise ValueError(f"{name} is a masked array with masked values; fill them; {expected}")
    if array.dtype.kind in "biuf":
        return array
    objects = np.asarray(values, dtype=object)  # before NumPy made one type of them
    for position, value in np.ndenumerate(objects):
        reason = _not_a_number(value)
        if reason:
            text = repr(value) if len(repr(value)) < 40 else f"{repr(value)[:40]}..."
            raise ValueError(f"{name}{_at(position)} is {text}, which is {reason}; {expected}")
    return objects.astype(float)


def _not_a_number(value: Any) -> str:
    """Why a value is no real number; nothing if it is one."""
    try:
        if isinstance(value, complex | str | bytes):
            return "no real number"
        float(value)
    except OverflowError:
        return "too large"
    except (TypeError, ValueError):
        return "no real number"
    return ""


def _finite(name: str, array: Any, expected: str) -> Any:
    """The array in the module's precision, C-contiguous, with finite values only, or a ValueError."""
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(array, dtype)
    first = _native_first_not_finite(converted, converted.size)
    if first < converted.size:
        position = np.unravel_index(first, array.shape)
        given = array[position]
        reason = f", which is too large for {precision}" if np.isfinite(given) else ""
        raise ValueError(f"{name}{_at(position)} is {given}{reason}; {expected}, all finite")
    return converted


def _one_hot(Y: Any) -> Any:
    """Integer labels as one-hot rows, where the loss takes class probabilities; else the targets as they are."""
    if not accepts_labels or Y is None:
        return Y
    classes = len(target_names)
    expected = f"expected labels 0 to {classes - 1} of the shape (samples,), or (samples, {classes}) probabilities"
    labels = _array("Y", Y, expected)
    if labels.ndim != 1:
        return labels
    wrong = np.flatnonzero(~((labels >= 0) & (labels < classes) & (labels == np.floor(labels))))
    if len(wrong):
        raise ValueError(f"Y[{wrong[0]}] is {labels[wrong[0]]}, which is no class; {expected}")
    rows = np.zeros((len(labels), classes), dtype)
    rows[np.arange(len(labels)), labels.astype(np.intp)] = 1
    return rows


def _parameters(parameters: Any) -> Any:
    expected = f"expected ({parameter_count},), such as initial_parameters()"
    array = _array("parameters", parameters, expected)
    if array.shape != (parameter_count,):
        raise ValueError(f"parameters has the shape {array.shape}; {expected}")
    return _finite("parameters", array, expected)


def _weights(sample_weight: Any, samples: int) -> Any:
    if sample_weight is None:
        return None
    expected = f"expected ({samples},)"
    array = _array("sample_weight", sample_weight, expected)
    if array.shape != (samples,):
        raise ValueError(f"sample_weight has the shape {array.shape}; {expected}")
    wrong = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if len(wrong):
        raise ValueError(f"sample_weight[{wrong[0]}] is {array[wrong[0]]}; {expected}, all finite and none below 0")
    largest = array.max()
    if not largest > 0:
        raise ValueError(f"sample_weight is 0 for every sample; {expected}, some above 0")
    return np.ascontiguousarray(array / largest, dtype)  # only their ratios count: no sum of them overflows


def _optimizer(name: str, learning_rate: float, hyperparameters: dict[str, float]) -> tuple[int, Any]:
    """The number of the update rule, and the values of its hyperparameters."""
    values = dict(hyperparameters, learning_rate=learning_rate)
    if name == "sgd":  # three rules under one name, as in Keras and PyTorch
        nesterov, momentum = values.pop("nesterov", False), values.get("momentum", 0.0)
        if not isinstance(nesterov, bool | np.bool_):
            raise ValueError(f"nesterov must be True or False, not {nesterov!r}")
        if nesterov:
            name = "nesterov"
        elif _number("momentum", momentum, 0.0, 1.0, False):
            name = "momentum"
        else:
            values.pop("momentum", None)
    if not isinstance(name, str) or name not in _OPTIMIZERS:
        raise ValueError(f"there is no optimizer {name!r}; there are: {', '.join(_OPTIMIZERS)}")
    number, known = _OPTIMIZERS[name]
    for key in values:
        if key not in known:
            names = ", ".join(known)
            raise TypeError(f"train() got an unexpected argument {key!r}; the optimizer {name} takes: {names}")
    options = [
        _number(key, values.get(key, default), low, high, excludes_low)
        for key, (default, low, high, excludes_low) in known.items()
    ]
    return number, np.array(options)


def _number(name: str, value: Any, low: float, high: float, excludes_low: bool) -> float:
    allowed = f"a number {'above' if excludes_low else 'from'} {low:g}{f', below {high:g}' if high < math.inf else ''}"
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise ValueError(f"{name} must be {allowed}, not {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not excludes_low or not number > 0 or number >= float(np.finfo(dtype).tiny):
        vanishes = ""
    else:
        vanishes = f", which is 0 in {precision}"
    if vanishes or not (low < number < high or (number == low and not excludes_low)):
        raise ValueError(f"{name} must be {allowed}, not {value}{vanishes}")
    return number


def _integer(name: str, value: Any, low: int, high: int, meaning: str = "") -> int:
    limit = f" to {high}" + (f" ({meaning})" if meaning else "")
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise ValueError(f"{name} must be an integer from {low}{limit}, not {value!r}")
    integer = int(value)
    if not low <= integer <= high:
        raise ValueError(f"{name} must be an integer from {low}{limit}, not {value}")
    return integer


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 8 else f"{names[0]}, ..., {names[-1]}"


def _at(position: Any) -> str:
    return f"[{', '.join(str(int(k)) for k in position)}]"
