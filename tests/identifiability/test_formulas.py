"""Formulas: ranks are those of Jacobians by mpmath, symmetries that are planted are found, and few samples show."""

import mpmath
import numpy as np
import pytest
import sympy
from sympy import Symbol

import nncodegen as nn
from nncodegen import curves

FORMULAS = {
    "product": ("V*k*x/(K + x)", "V k K", 2),
    "sum": ("(a + b)*x + c", "a b c", 2),
    "sum in a product": ("V*(a + b)*exp(-k*x) + c", "V a b k c", 3),
    "hill": ("V*x**2/(K**2 + x**2)", "V K", 2),
    "exponent": ("a*abs(x)**(b + c)", "a b c", 2),
    "two exponentials": ("a*exp(-b*x) + c*exp(-d*x)", "a b c d", 4),
    "logistic": ("L/(1 + exp(-k*(x - m)))", "L k m", 3),
    "shifted twice": ("sin(w*(x - m) + p)", "w m p", 2),
    "quotient": ("(a*x + b)/(c*x + d)", "a b c d", 3),
    "logarithm": ("log(a*b*abs(x))", "a b", 1),
    "power of a product": ("(a*b)**c*x", "a b c", 1),
    "erf": ("a*erf(b*c*x) + d", "a b c d", 3),
}
"""Formulas of x, their parameters and, by hand, how many numbers they determine."""


def model_of(text, parameters, **options):
    return nn.Model("m", "x", "y", {name: 1 + k / 3 for k, name in enumerate(parameters.split())}, text, **options)


def numeric_rank(text, parameters):
    """The rank of the Jacobian at random points, by differences of mpmath in 50 digits."""
    names = parameters.split()
    function = sympy.lambdify([Symbol("x"), *map(Symbol, names)], sympy.sympify(text), "mpmath")
    with mpmath.workdps(50):
        random = np.random.default_rng(1)
        values = [mpmath.mpf(number) for number in random.uniform(0.5, 2, len(names))]
        matrix = mpmath.matrix(2 * len(names), len(names))
        for row in range(2 * len(names)):
            x = mpmath.mpf(random.uniform(0.1, 3))
            for column in range(len(names)):
                orders = [0] * len(names)
                orders[column] = 1
                matrix[row, column] = mpmath.diff(lambda *p, x=x: function(x, *p), tuple(values), tuple(orders))
        sizes = mpmath.svd_r(matrix, compute_uv=False)
        return sum(size > mpmath.mpf(10) ** -12 for size in sizes)


@pytest.mark.parametrize("name", FORMULAS)
def test_ranks(name):
    """The rank is the known one, and that of a Jacobian by differences in 50 digits."""
    text, parameters, rank = FORMULAS[name]
    result = nn.identifiability(model_of(text, parameters))
    assert result.rank == rank == numeric_rank(text, parameters)
    assert result.missing == len(parameters.split()) - rank
    assert result.is_identifiable == (result.missing == 0)
    assert all(map(result.determines, result.combinations))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("product", ["V*k"]),
        ("sum", ["a + b"]),
        ("sum in a product", ["V*(a + b)"]),
        ("exponent", ["b + c"]),
        ("quotient", ["a/b", "a/c", "a/d"]),
        ("logarithm", ["a*b"]),
        ("erf", ["b*c"]),
        ("shifted twice", ["m*w - p"]),
    ],
)
def test_combinations(name, expected):
    """What is determined of parameters that are not identifiable has the simplest form."""
    text, parameters, _ = FORMULAS[name]
    result = nn.identifiability(model_of(text, parameters))
    assert [str(each) for each in result.combinations] == expected
    assert result.is_complete


def test_directions():
    """Scalings and translations are directions in a closed form, along which the output does not change."""
    result = nn.identifiability(model_of(*FORMULAS["sum in a product"][:2]))
    formula = sympy.sympify(FORMULAS["sum in a product"][0])
    assert len(result.directions) == result.missing == 2
    for direction in result.directions:
        assert sympy.simplify(sum(sympy.diff(formula, name) * rate for name, rate in direction.items())) == 0


def test_verdicts():
    """Verdicts are words: alone, with a combination, and together with others."""
    result = nn.identifiability(model_of("V*k*x/(K + x)", "V k K"))
    assert result.verdicts == {
        "V": "not identifiable: only V*k can be determined",
        "k": "not identifiable: only V*k can be determined",
        "K": "identifiable",
    }


def test_unseen():
    """A parameter that counts only where x is not 0 is not seen in a sample with 0."""
    result = nn.identifiability(model_of("a + b*x", "a b"), X=[[0.0], [0.0]])
    assert result.verdicts["b"] == "not identifiable: nothing that is observed depends on it"
    assert nn.identifiability(model_of("a + b*x", "a b"), X=[[0.0], [1e-9]]).is_identifiable


@pytest.mark.parametrize("samples", range(1, 7))
def test_few_samples(samples):
    """Of two exponentials and a constant, each sample determines one more number, up to all five."""
    model = model_of("a*exp(-b*x) + c*exp(-d*x) + e", "a b c d e")
    X = np.linspace(0, 3, samples)
    assert nn.identifiability(model, X).rank == min(samples, 5)
    assert nn.identifiability(model, X[:, None]).rank == min(samples, 5)


def test_many_samples():
    """Of very many samples, those that say something are kept, wherever they stand."""
    x = np.zeros(5000)
    x[[1234, 4567]] = 1, 2
    model = model_of("a*x**2 + b*x", "a b")
    assert nn.identifiability(model, x).is_identifiable
    x[4567] = 1
    assert [str(each) for each in nn.identifiability(model, x).combinations] == ["a + b"]


def test_tables():
    """X may be a table with the names of inputs, in any order, or a mapping."""
    model = nn.Model("two", "x z", "y", {"a": 1, "b": 1, "c": 1}, "a*x + b*z + c")
    table = {"z": [1.0, 1.0, 1.0], "x": [1.0, 2.0, 3.0]}
    for X in (table, np.array([(1, 1), (1, 2), (1, 3)], [("z", float), ("x", float)])):
        result = nn.identifiability(model, X)
        assert result.identifiable == ("a",)
        assert [str(each) for each in result.combinations] == ["b + c"]
    with pytest.raises(ValueError, match="X has no array x"):
        nn.identifiability(model, {"z": [1.0]})


def test_too_few_values():
    """Where fewer values are observed than can be determined, a note says so."""
    result = nn.identifiability(model_of("a*exp(-b*x) + c", "a b c"))
    assert result.values is None
    decay = nn.Dynamics("u' = -k*u + q", {"u": "s"}, {"k": 1, "q": 1, "s": 1}, times=2)
    result = nn.identifiability(decay)
    assert (result.rank, result.values) == (3, 2)
    assert "but there are only 2 observed values: to determine 3 numbers takes as many" in str(result)


def test_several_outputs():
    """What one output leaves open, another one determines."""
    parameters = dict.fromkeys("abc", 1.0)
    both = nn.Model("both", "x", "y z", parameters, ("a*b*x", "b*c*x"))
    assert [str(each) for each in nn.identifiability(both).combinations] == ["a*b", "b*c"]
    three = nn.Model("three", "x", "y z w", parameters, ("a*b*x", "b*c*x", "a*x**2"))
    assert nn.identifiability(three).is_identifiable


def test_many_parameters():
    """Of eight peaks and two constants, 26 parameters, only the constants are not told apart."""
    peaks = [f"a{k}*exp(-((x - m{k})/s{k})**2)" for k in range(8)]
    names = " ".join(f"a{k} m{k} s{k}" for k in range(8))
    result = nn.identifiability(model_of(" + ".join([*peaks, "c", "d"]), f"{names} c d"))
    assert result.rank == 25
    assert [str(each) for each in result.combinations] == ["c + d"]


def test_ties():
    """A tied parameter is a formula of others, and no unknown."""
    free = nn.Model("free", "x", "y", {"a": 1, "b": 1}, "a*b*x")
    tied = nn.Model("tied", "x", "y", {"a": 1}, "a*b*x", ties={"b": "2*a"})
    assert nn.identifiability(free).missing == 1
    assert nn.identifiability(tied).columns == ("a",)
    assert nn.identifiability(tied).is_identifiable


def test_known():
    """A known parameter is no unknown: the others are determined with it."""
    model = model_of("V*k*x/(K + x)", "V k K")
    result = nn.identifiability(model, known=["k"])
    assert result.columns == ("V", "K")
    assert result.is_identifiable
    assert nn.identifiability(model, known=Symbol("k")).is_identifiable
    assert nn.identifiability(model, known="V, K").columns == ("k",)


def test_loss():
    """A parameter of the loss alone, such as the logarithm of an error, is determined by the loss of random targets."""
    model = nn.Model("error", "x", "y", {"a": 1, "s": 1}, "a*x", "s + (y - a*x)**2*exp(-2*s)")
    assert nn.identifiability(model).is_identifiable
    doubled = nn.Model("doubled", "x", "y", {"a": 1, "s": 1, "r": 1}, "a*x", "s + r + (y - a*x)**2*exp(-2*s - 2*r)")
    assert [str(each) for each in nn.identifiability(doubled).combinations] == ["r + s"]


def test_groups():
    """Parameters that each group has for itself are seen with those that groups share."""
    parameters = {"s": 1, "q": 2, "o": 3}
    outputs = ("(s*o + q)*x", "o*x")
    assert nn.identifiability(nn.Model("one", "x", "y z", parameters, outputs)).identifiable == ("o",)
    assert nn.identifiability(nn.Model("groups", "x", "y z", parameters, outputs, own="o")).is_identifiable
    hidden = nn.identifiability(nn.Model("hidden", "x", "y", parameters, outputs[0], own="o"))
    assert [str(each) for each in hidden.combinations] == ["o*s + q"]


def test_choices():
    """Pieces are seen where inputs fall into them, and a parameter that only says where they begin is not judged."""
    model = nn.Model("pieces", "x", "y", {"a": 1, "b": 2}, "Piecewise((a*x, x < 10), (b*x, True))")
    assert nn.identifiability(model).is_identifiable
    result = nn.identifiability(model, [1, 2, 3])
    assert result.identifiable == ("a",)
    assert result.verdicts["b"].startswith("not identifiable in the branches that were looked at")
    hinge = nn.Model("hinge", "x", "y", {"a": 1, "b": 2}, "a*max(x - b, 0)")
    assert nn.identifiability(hinge, [1, 3, 5]).is_identifiable
    assert nn.identifiability(hinge, [1, 3]).rank == 1


@pytest.mark.parametrize("name", [name for name in curves.__all__ if name.islower()])
def test_curves_by_name(name):
    """The parameters of every curve by name are identifiable."""
    curve = getattr(curves, name)
    if not hasattr(curve, "typical"):
        pytest.skip("no curve of one input")
    result = nn.identifiability(nn.Model("curve", "x", "y", output=curve))
    assert result.is_identifiable, str(result)


def test_two_constants():
    """Of two curves with a constant each, only the sum of these is determined."""
    both = curves.line("a_") + curves.exponential("b_") + curves.line("c_")
    result = nn.identifiability(nn.Model("sum", "x", "y", output=both))
    assert [str(each) for each in result.combinations] == ["a_intercept + c_intercept", "a_slope + c_slope"]


def test_start_values_matter_to_nothing_rational():
    """The verdict of a rational formula does not depend on the start, and every seed gives the same one."""
    results = [nn.identifiability(model_of("a*b*x/(c*d + x)", "a b c d"), seed=seed).verdicts for seed in range(5)]
    results.append(nn.identifiability(nn.Model("z", "x", "y", dict.fromkeys("abcd", 0), "a*b*x/(c*d + x)")).verdicts)
    assert all(result == results[0] for result in results)


def test_large_and_small_numbers():
    """Rates that differ by ten orders of magnitude are told apart from what is not determined."""
    text = "a*exp(-k*x) + b*exp(-j*q*x)"
    model = nn.Model("scales", "x", "y", {"a": 1e6, "k": 1e-7, "b": 1e-5, "j": 1e3, "q": 1e-2}, text)
    result = nn.identifiability(model)
    assert result.identifiable == ("a", "k", "b")
    assert [str(each) for each in result.combinations] == ["j*q"]
