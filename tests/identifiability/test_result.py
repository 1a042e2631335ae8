"""Results print, are the same for the same seed, and answer further questions; what cannot be asked is refused."""

import pickle

import numpy as np
import pytest
from sympy import Symbol

import nncodegen as nn

MODEL = nn.Model("rate", "x", "y", {"V": 1, "k": 2, "K": 3}, "V*k*x/(K + x)")

DECAY = {"equations": "u' = -k*u", "initial": {"u": 1}, "parameters": {"k": 1}, "times": 4}


def test_text(capsys):
    """A result is printed as a table of verdicts, with what is determined, and what to do."""
    expected = """\
rate: the observations determine 1 of 3 unknowns
unknown   verdict
V         not identifiable: only V*k can be determined
k         not identifiable: only V*k can be determined
K         identifiable
determined of the others: V*k
1 number is missing: fix one of the unknowns that move together, or observe more"""
    result = nn.identifiability(MODEL)
    assert str(result) == expected
    result.summary()
    assert capsys.readouterr().out == f"{expected}\n"
    lines = []
    result.summary(lines.append)
    assert lines == [expected]


def test_text_without_faults():
    """Where all is determined, there is nothing to do."""
    text = str(nn.identifiability(MODEL, known="k"))
    assert text.splitlines() == [
        "rate: the observations determine all 2 unknowns",
        "unknown   verdict",
        "V         identifiable",
        "K         identifiable",
    ]
    assert str(nn.identifiability(MODEL, known="k V")).startswith("rate: the observations determine its 1 unknown\n")


def test_html():
    """A notebook shows the table; names are escaped."""
    html = nn.identifiability(MODEL)._repr_html_()
    assert html.count("<tr>") == 4
    assert "only V*k can be determined" in html
    oscillator = nn.Dynamics("x'' = -k*x", {"x": 1, "x'": 0}, {"k": 1}, times=3, observed="x")
    assert "x&#x27;(0)" in nn.identifiability(oscillator, unknown_initial=True)._repr_html_()


def test_attributes():
    """Attributes say the same as the table."""
    result = nn.identifiability(MODEL)
    assert result.columns == ("V", "k", "K")
    assert (result.rank, result.missing) == (2, 1)
    assert result.identifiable == ("K",)
    assert result.not_identifiable == ("V", "k")
    assert not result.is_identifiable
    assert result.is_complete
    assert result.combinations == (Symbol("V") * Symbol("k"),)
    (direction,) = result.directions
    assert direction == {"V": Symbol("V"), "k": -Symbol("k")}
    (group,) = result.groups
    assert (group.names, group.rank) == (("V", "k"), 1)
    assert result.arithmetic == "exact"
    assert isinstance(result, nn.Identifiability)


def test_determines():
    """Formulas of texts and of SymPy are judged; other names are refused."""
    result = nn.identifiability(MODEL)
    assert result.determines("V*k")
    assert result.determines(Symbol("V") * Symbol("k") / Symbol("K"))
    assert not result.determines("V + k")
    with pytest.raises(nn.ModelError, match="x is none of V, k, K"):
        result.determines("V*x")
    with pytest.raises(nn.ModelError, match="x is no parameter or unknown first value of rate; there are: V, k, K"):
        result.determines(Symbol("V") * Symbol("x"))
    known = nn.identifiability(MODEL, known="K")
    assert known.determines("V*k*K")
    assert known.determines("K")


def test_determines_functions():
    """Functions that are not rational are judged, too, though the model is rational."""
    result = nn.identifiability(MODEL)
    assert result.determines("log(V*k) + sqrt(K)")
    assert not result.determines("exp(V)")
    oscillator = nn.Dynamics("x'' = -k*x", {"x": 1, "x'": 0}, {"k": 1, "a": 1}, times=3, observed="a*x")
    unknown = nn.identifiability(oscillator, unknown_initial=True)
    assert unknown.determines("x'(0)/x(0)")
    assert unknown.determines("sqrt(k)")
    assert not unknown.determines("x'(0)*k")


@pytest.mark.parametrize("formula", ["V*k*x/(K + x)", "V*k*abs(x)**K"])
def test_seeds(formula):
    """The same seed gives the same result; another one the same verdicts."""
    model = nn.Model("m", "x", "y", {"V": 1, "k": 2, "K": 3}, formula)
    first, again = nn.identifiability(model, seed=3), nn.identifiability(model, seed=3)
    assert first == again
    assert first.verdicts == nn.identifiability(model, seed=4).verdicts


def test_pickle():
    """A result can be sent to other processes, where it answers as well."""
    result = nn.identifiability(MODEL)
    again = pickle.loads(pickle.dumps(result))
    assert again == result
    assert again.determines("V*k")
    assert str(again) == str(result)


# --- what is refused ---------------------------------------------------------------------------------------------


def refused(match, model, *args, kind=nn.ModelError, **options):
    with pytest.raises(kind, match=match):
        nn.identifiability(model, *args, **options)


def test_networks_are_refused():
    """Networks have weights with symmetries, alone and in equations."""
    network = nn.Sequential([nn.Dense(2, "tanh"), nn.Dense(1)], inputs=1)
    refused("not of .*the weights of a network have symmetries", network)
    inside = nn.Dynamics("u' = f(u)", {"u": 1}, networks={"f": network}, times=3, steps=2)
    refused("has a network, f, in its equations", inside)
    refused("not of str", "a*x")


def test_jumps_are_refused():
    """Doses are refused, and the error says how to ask instead."""
    dosed = nn.Dynamics(**DECAY, columns="amount", jumps={"u": "u + amount"})
    refused('has jumps, of u: ask .* inputs="amount"', dosed)
    after = nn.Dynamics("u' = -k*u", {"u": "amount"}, {"k": 1}, inputs="amount", times=4)
    assert nn.identifiability(after).is_identifiable


def test_wrong_names_are_refused():
    """Names that do not exist are named, with those that do."""
    refused("known has 'q', which is no parameter of rate; there are: V, k, K", MODEL, known="q")
    refused("known has names or symbols", MODEL, known=3)
    refused("rate has no unknown parameters", MODEL, known="V k K")
    refused("rate is a formula, without states: leave out unknown_initial", MODEL, unknown_initial="V")
    decay = nn.Dynamics(**DECAY)
    refused("unknown_initial has 'w', which is no state of dynamics; there are: u", decay, unknown_initial="w")


def test_wrong_numbers_are_refused():
    """Samples are counted by whole numbers, and X has a column for each input."""
    refused("samples is the number of samples", MODEL, samples=0)
    refused("samples is the number of samples", MODEL, samples=True)
    refused("give X or samples, not both", MODEL, [1.0], samples=2)
    refused(r"X has the shape \(2, 2\); expected \(N, 1\)", MODEL, np.ones((2, 2)), kind=ValueError)
    refused("X has values that are not finite", MODEL, [np.nan], kind=ValueError)
    course = nn.Dynamics("u' = -k*u*w", {"u": 1}, {"k": 1}, columns="w", times=2)
    refused("its column w is a course in time", course, np.ones((1, 4)))


def test_without_observations():
    """A formula that is only minimized has no observations."""
    refused("f has no targets, so nothing of it is observed", nn.Model("f", (), (), {"a": 1}, loss="(a - 1)**2"))


def test_divisions_by_zero_are_refused():
    """Equations that divide by 0 at the first values cannot be expanded there; with unknown ones, they can."""
    model = nn.Dynamics("u' = k/u", {"u": 0}, {"k": 1}, times=4)
    refused("cannot be evaluated at random points: a formula divides by 0", model)
    assert nn.identifiability(model, unknown_initial=True).is_identifiable
    root = nn.Dynamics("u' = -k*u**n", {"u": 0}, {"k": 1, "n": 1.5}, times=4)
    refused("cannot be evaluated at random points", root)
