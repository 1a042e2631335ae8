"""Metrics in C against NumPy: what is met, absolute errors, squares of errors, weighted by what samples count."""

from itertools import product

import numpy as np
import pytest

ACCURACY, ABSOLUTE, SQUARES = 1, 2, 4
OUTPUTS, TILE = 2, 128


@pytest.fixture(scope="session", params=[0, 1], ids=["values", "classes"])
def metrics(runtime, request):
    library = runtime("metrics", f"-DSAMPLE_HAS_CLASSES={request.param}")
    library.classes = request.param
    return library


@pytest.fixture(params=["rows", "columns"])
def lying(request):
    """Values by rows, or by columns, which begin TILE values after each other: (array, row, column)."""
    if request.param == "rows":
        return lambda values: (values, OUTPUTS, 1)
    return lambda values: (np.ascontiguousarray(np.pad(values, ((0, TILE - len(values)), (0, 0))).T), 1, TILE)


def examples(library, count):
    rng = np.random.default_rng(count)
    return tuple(
        library.array(values)
        for values in (
            rng.uniform(size=(count, OUTPUTS)),
            rng.integers(0, 2, size=(count, OUTPUTS)),
            rng.integers(0, 4, size=count),
        )
    )


@pytest.mark.parametrize("count", [1, 2, 7, 64, 65, 128])
def test_errors(metrics, lying, count):
    """Errors are summed up, each as often as its sample counts, and the squares of each output apart."""
    outputs, targets, counts = examples(metrics, count)
    sums = np.arange(4.0)
    metrics.call("add_columns", ABSOLUTE | SQUARES, count, OUTPUTS, 0, *lying(outputs), *lying(targets), counts, sums)
    errors = (outputs - targets).astype(float)
    assert sums[0] == 0
    assert sums[1] == pytest.approx(1 + (counts @ abs(errors)).sum(), rel=count * metrics.eps)
    assert sums[2:] == pytest.approx([2, 3] + counts @ errors**2, rel=count * metrics.eps)


@pytest.mark.parametrize("count", [1, 7, 65, 128])
def test_accuracy(metrics, lying, count):
    """A class counts as met where the first of the largest outputs is that of the largest target; where targets are no
    classes, each output that is on the side of 1/2 where its target is.
    """
    outputs, targets, counts = examples(metrics, count)
    outputs[0] = outputs[-1] = (0.25, 0.25) if metrics.classes else (0.5, np.nan)  # the first of both; no yes
    sums = np.zeros(4)
    metrics.call("add_columns", ACCURACY, count, OUTPUTS, 0, *lying(outputs), *lying(targets), counts, sums)
    met = outputs.argmax(1) == targets.argmax(1) if metrics.classes else ((outputs > 0.5) == (targets > 0.5)).sum(1)
    assert sums.tolist() == [counts @ met, 0, 0, 0]


def test_one_sample_counts_as_it_does_beside_others(metrics, lying):
    """A sample alone, for which there is a function without loops, adds the bits that it adds beside one that counts 0
    times: for equal, infinite and undefined outputs, too.
    """
    values = (0.25, 0.5, 0.75, np.inf, -np.inf, np.nan)
    counts = metrics.array([3, 0])
    for values_of_outputs, target in product(product(values, repeat=OUTPUTS), product((0, 1), repeat=OUTPUTS)):
        outputs, targets = metrics.array([values_of_outputs, (0.1, 0.2)]), metrics.array([target, (0, 1)])
        alone, beside = np.zeros(4), np.zeros(4)
        for count, sums in ((1, alone), (2, beside)):
            arguments = *lying(outputs), *lying(targets), counts[:count]
            metrics.call("add_columns", ACCURACY | ABSOLUTE | SQUARES, count, OUTPUTS, 0, *arguments, sums)
        np.testing.assert_array_equal(alone, beside)


def test_only_what_is_wanted(metrics, lying):
    """Sums that are not wanted stay as they are, and those of some columns go where the number of the first says."""
    outputs, targets, counts = examples(metrics, 5)
    sums = np.full(4, 7.0)
    metrics.call("add_columns", 0, 5, OUTPUTS, 0, *lying(outputs), *lying(targets), counts, sums)
    assert sums.tolist() == [7, 7, 7, 7]
    metrics.call("add_columns", SQUARES, 5, 1, 1, *lying(outputs), *lying(targets), counts, sums)
    squares = counts @ (outputs - targets).astype(float) ** 2
    assert sums == pytest.approx([7, 7, 7, 7 + squares[0]], rel=5 * metrics.eps)


def test_what_is_not_finite(metrics, lying):
    """An output that is not finite shows in the sums of errors."""
    outputs, targets, counts = examples(metrics, 9)
    counts[4] = 1
    outputs[4, 1] = np.nan
    sums = np.zeros(4)
    metrics.call("add_columns", ABSOLUTE | SQUARES, 9, OUTPUTS, 0, *lying(outputs), *lying(targets), counts, sums)
    assert np.isnan(sums).tolist() == [False, True, False, True]
