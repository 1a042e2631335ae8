"""The example of doses: its concentrations, and the parameters that it finds."""

import numpy as np
import pytest

from tests.support import ROOT
from tests.support.solutions import solved_in_parts

EXAMPLE = ROOT / "docs" / "gallery" / "17_doses.py"


@pytest.fixture(scope="module")
def names():
    """The names that the program defines."""
    pytest.importorskip("matplotlib").use("agg")
    namespace = {"__name__": "example"}
    exec(compile(EXAMPLE.read_text(), str(EXAMPLE), "exec"), namespace)
    return namespace


def test_concentrations(names):
    """They are those of SciPy, begun again at each dose, for each of the patients."""
    ka, cl, v1, q, v2 = names["truth"].values()

    def rates(_, t, u):
        return [-ka * u[0], ka * u[0] - (cl + q) / v1 * u[1] + q / v2 * u[2], q / v1 * u[1] - q / v2 * u[2]]

    for times, amounts, concentrations in zip(names["times"], names["amounts"], names["exact"], strict=True):
        exact = solved_in_parts(rates, [0, 0, 0], times, lambda k, u, a=amounts: [u[0] + a[k], u[1], u[2]])[:, 1] / v1
        np.testing.assert_allclose(concentrations, exact, rtol=1e-4, atol=1e-6)


def test_parameters(names):
    """The fit converges from afar to within three standard errors of the truth, and uses what was measured alone."""
    result = names["result"]
    assert result.converged
    away = (result.parameters - [*names["truth"].values()]) / result.standard_errors
    assert (abs(away) < 3).all()
    assert np.isnan(names["Y"][names["amounts"] > 0]).all()
    assert np.isfinite(names["Y"]).sum() == sum(row[3] for row in names["table"])
