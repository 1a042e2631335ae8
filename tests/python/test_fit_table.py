"""A fit as people see it: the table in text and in HTML, and the picture."""

import math
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from tests.support.fit_records import Formula, decay, decay_data, fitted, line

pytest.importorskip("scipy.optimize")

X, Y = decay_data()

TABLE = """\
line: 2 parameters, fitted to 4 values

parameter   value   standard error   error in %       t   start
a           1.112           0.1214         10.9   9.163       5
b           1.932          0.06487         3.36   29.78      -1

chi2                 0.04208
reduced chi2         0.02104
R2                   0.99775
AIC, BIC             -14.2179, -15.4453
degrees of freedom   2 = 4 values - 2 free parameters
ended                converged after 7 iterations, 9 evaluations
                     a step changed the cost by less than the tolerance"""


class Shape(HTMLParser):
    """The rows of a text in HTML, as lists of texts; fails where its tags do not match."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.open = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in {"td", "th"}:
            self.rows[-1][-1] += data


def test_table():
    """The table of a fit, as it is pasted into a notebook."""
    result = fitted(line(), np.arange(4.0)[:, None], [1.0, 3.2, 5.0, 6.84], [5, -1])
    assert str(result) == TABLE


def test_table_of_what_is_wrong_with_a_fit():
    """Strong correlations are listed, the strongest first; fixed parameters and active bounds are named."""
    x = np.linspace(2, 2.5, 15)[:, None]  # too short to tell a from b from c
    y = decay().predict([2.5, 1.3, 0.5], x)[:, 0] + 0.001 * np.cos(9 * x[:, 0])
    result = fitted(decay(), x, y, [2, 1.2, 0.4])
    lines = str(result).splitlines()
    first = next(k for k, text in enumerate(lines) if text.startswith("correlation"))
    pairs = [(abs(result.correlation[i, j]), i, j) for i, j in ((0, 1), (0, 2), (1, 2))]
    for text, (_, i, j) in zip(lines[first : first + 3], sorted(pairs, reverse=True), strict=True):
        assert text.endswith(f"   {result.correlation[i, j]:+.4f} of {'abc'[i]} and {'abc'[j]}")
    held = fitted(decay(), X, Y, [1, 2, 0.5], fixed=[2], bounds=(np.array([0, 1.5, 0]), np.array([9.0, 9, 9])))
    assert "at a bound           b: standard errors are those without the bound" in str(held)
    assert str(held).endswith("fixed                c")


def test_html_escapes_names():
    """Names never become tags, and the cells of the HTML are those of the text."""
    evil = "<script>alert(1)</script>"
    model = Formula(f"{evil}&", (evil, "b"), line().function, line().derivative)
    result = fitted(model, X, Y, [0, 0])
    text = result._repr_html_()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;: 2 parameters" in text
    rows = Shape(text).rows
    assert rows[1][0] == evil
    for row in rows:
        for cell in row:
            assert cell in str(result)


def test_long_tables_are_cut():
    """Of some hundred parameters, a hundred are shown, and it is told how many are not."""
    wide = Formula("wide", {"w": (300,)}, lambda p, X: X @ p[:, None], lambda p, X: X[:, None, :])
    rows = np.random.default_rng(0).normal(size=(330, 300))
    result = fitted(wide, rows, np.ones(330), np.zeros(300), end=np.full(300, 0.001))
    lines = str(result).splitlines()
    assert len(lines) < 120
    assert lines[3].startswith("w[0] ")
    assert lines[103].startswith("... 200 more")


# --- pictures ----------------------------------------------------------------------------------------------------


def test_picture_of_one_input(pyplot):
    """Above are data, curve and band, below the weighted residuals; the curve has the outputs at the ends."""
    sigma = np.full(20, 0.05)
    result = fitted(decay(), X, Y, [1, 1, 0], sigma)
    figure = result.plot()
    upper, lower = figure.axes
    figure.canvas.draw()
    curve = upper.lines[1]
    np.testing.assert_allclose(curve.get_ydata()[[0, -1]], result.predict(X)[[0, -1], 0])
    np.testing.assert_allclose(upper.lines[0].get_ydata(), Y)
    np.testing.assert_allclose(lower.lines[0].get_ydata(), result.residuals[:, 0])
    assert {text.get_text() for text in upper.get_legend().get_texts()} == {"data", "fit", "95 % confidence"}
    assert lower.get_ylabel() == "residual / sigma"
    assert upper.get_title() == "decay"
    low, high = upper.collections[-1].get_datalim(upper.transData).intervaly
    band = result.predict(X[[0]], "confidence")
    np.testing.assert_allclose(high, band.upper[0, 0], rtol=1e-6)
    assert low < result.predict(X[[-1]])[0, 0]


def test_picture_on_given_axes(pyplot):
    """Axes may be given, several outputs have a colour each, and data that are missing leave a gap."""
    two = Formula(
        "two",
        ("a", "b"),
        lambda p, X: np.concatenate([p[0] * X, p[1] + 0 * X], axis=1),
        lambda p, X: np.stack([np.concatenate([X, 0 * X], 1), np.concatenate([0 * X, 1 + 0 * X], 1)], 1),
        outputs=("first", "second"),
    )
    targets = np.stack([Y, Y], axis=1)
    targets[3, 1] = np.nan
    _, axes = pyplot.subplots(2)
    assert fitted(two, X, targets, [1, 1]).plot(axes, interval="prediction", level=0.9) is axes[0].figure
    labels = {text.get_text() for text in axes[0].get_legend().get_texts()}
    assert labels == {f"{name}, {what}" for name in ("first", "second") for what in ("data", "fit", "90 % prediction")}
    assert math.isnan(axes[1].lines[1].get_ydata()[3])


def test_picture_of_several_inputs_and_of_none(pyplot):
    """With several inputs, targets are drawn against outputs; with none, against the number of the sample."""
    plane = Formula("plane", ("a", "b"), lambda p, X: X @ p[:, None], lambda p, X: X[:, None, :], inputs=("x1", "x2"))
    result = fitted(plane, np.concatenate([X, X**2], axis=1), Y, [0, 0])
    upper, lower = result.plot().axes
    np.testing.assert_allclose(upper.lines[0].get_xdata(), result.predict(result._X)[:, 0], rtol=1e-9)
    assert lower.get_xlabel() == "output"
    mean = Formula("mean", ("m",), lambda p, X: np.full((20, 1), p[0]), lambda p, X: np.ones((20, 1, 1)), inputs=())
    upper, lower = fitted(mean, None, Y, [0]).plot().axes
    assert list(upper.lines[0].get_xdata()) == list(range(20))
    assert lower.get_xlabel() == "sample"


def test_without_matplotlib(monkeypatch):
    """A picture says what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"plot needs matplotlib.*python -m pip install matplotlib"):
        fitted(line(), X, Y, [0, 0]).plot()
