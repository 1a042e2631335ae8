"""The Python part of a compiled module: it checks arguments and calls the native part.

Its text and that of the files behind it (see INTERFACE in ``wrapper.py``) are one text in every module, where the
names that are only declared here have their values; nncodegen itself never imports them, but for archives.py. NumPy is
all they need.
"""

import math
import numbers
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
_native_first_not_finite: Any
_native_predict: Any
_native_predict_short: Any
_native_loss: Any
_native_loss_short: Any
_share: Any

dtype = np.dtype(precision)
_TINIEST = float(np.finfo(dtype).tiny)
_CONSTANT = (  # what initial_parameters gives for any seed, if nothing is drawn
    np.repeat([scale for _, _, scale in _INITIAL], [math.prod(shape) for shape, _, _ in _INITIAL]).astype(dtype)
    if all(distribution == "constant" for _, distribution, _ in _INITIAL)
    else None
)
_ROWS_OF_A_THREAD = 4096  # at least, and a multiple of it


def initial_parameters(seed: int = 0) -> Any:
    """New parameters of shape (P,): a formula's own initial values, a network's from a seed."""
    seed = _integer("seed", seed, 0, 2**64 - 1)
    if _CONSTANT is not None:
        return _CONSTANT.copy()
    generator = np.random.default_rng(seed)
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


def predict(parameters: Any, X: Any = None, threads: int = 1) -> Any:
    """The outputs for the rows of X, of shape (N, inputs): an array of shape (N, outputs).

    Those of up to four rows are computed in an order of their own, and agree with those of many to rounding. The
    threads, 1 to 64, share the rows where there are thousands; the results do not depend on them.
    """
    if type(threads) is not int or threads != 1:
        threads = _integer("threads", threads, 1, 64)
    short = _native_predict_short(parameters, X)
    if short is not None:
        return short
    parameters = _parameters(parameters)
    X, samples = _inputs(X)
    return _predict_rows(parameters, X, samples, min(threads, -(-samples // _ROWS_OF_A_THREAD)))


def _predict_rows(parameters: Any, X: Any, samples: int, threads: int) -> Any:
    """The outputs, of checked arguments."""
    outputs = np.empty((samples, output_count), dtype)

    def rows(first: int, last: int) -> None:
        _native_predict(parameters, X if X is None else X[first:last], last - first, outputs[first:last])

    _share(rows, samples, _ROWS_OF_A_THREAD, threads)
    return outputs


def loss(parameters: Any, X: Any = None, Y: Any = None, sample_weight: Any = None) -> float:
    """The mean loss over the samples; with sample_weight, of shape (N,), the weighted mean."""
    short: float | None = _native_loss_short(parameters, X, Y, None) if sample_weight is None else None
    if short is not None:
        return short
    parameters = _parameters(parameters)
    X, Y, samples = _samples(X, Y)
    value: float = _native_loss(parameters, X, Y, _weights(sample_weight, samples), samples, None)
    return value


def loss_and_gradient(parameters: Any, X: Any = None, Y: Any = None, sample_weight: Any = None) -> tuple[float, Any]:
    """The mean loss over the samples and its gradient, of shape (P,): what SciPy's minimizers take."""
    gradient = np.empty(parameter_count, dtype)
    short: float | None = _native_loss_short(parameters, X, Y, gradient) if sample_weight is None else None
    if short is not None:
        return short, gradient
    parameters = _parameters(parameters)
    X, Y, samples = _samples(X, Y)
    value = _native_loss(parameters, X, Y, _weights(sample_weight, samples), samples, gradient)
    return value, gradient


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
    if type(values) is np.ndarray and values.dtype == dtype:
        return values
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
    """The array in the module's precision, C-contiguous and aligned, with finite values only, or a ValueError."""
    if array.dtype == dtype and array.flags.c_contiguous and array.flags.aligned:
        converted = array
    else:
        with np.errstate(over="ignore"):
            converted = np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])
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


def _number(name: str, value: Any, low: float, high: float, excludes_low: bool) -> float:
    if type(value) is float and (max(low, _TINIEST) < value < high or (value == low == 0.0 and not excludes_low)):
        return value  # as most are: what follows takes longer than a short training
    bounds = [f"{'above' if excludes_low else 'from'} {low:g}"] if low > -math.inf else []
    allowed = f"a number {', '.join(bounds + ([f'below {high:g}'] if high < math.inf else []))}".strip()
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise ValueError(f"{name} must be {allowed}, not {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not excludes_low or low != 0 or not number > 0 or number >= float(np.finfo(dtype).tiny):
        vanishes = ""
    else:
        vanishes = f", which is 0 in {precision}"
    if vanishes or not (low < number < high or (number == low and not excludes_low)):
        raise ValueError(f"{name} must be {allowed}, not {value}{vanishes}")
    return number


def _integer(name: str, value: Any, low: int, high: int, meaning: str = "") -> int:
    if type(value) is int and low <= value <= high:
        return value
    limit = f" to {high}" + (f" ({meaning})" if meaning else "")
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise ValueError(f"{name} must be an integer from {low}{limit}, not {value!r}")
    integer = int(value)
    if not low <= integer <= high:
        raise ValueError(f"{name} must be an integer from {low}{limit}, not {value}")
    return integer


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 8 else f"{names[0]}, ..., {names[-1]}"


def _at(position: Any) -> str:
    return f"[{', '.join(str(int(k)) for k in position)}]"
