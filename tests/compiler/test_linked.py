"""Modules are linked with a library that is the same for every model, and compute what they would without it."""

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.building import build, compiler
from nncodegen.compiler.building.targets import NATIVE, PLAIN, VARIANTS, variant_of
from nncodegen.runtime.python.ground.rules import RULES
from tests.support.compilers import QUICK

RNG = np.random.default_rng(0)
X, SMALL = RNG.normal(size=(70, 6)), RNG.uniform(0.1, 3, size=(40, 1))
CLASSES, HEIGHTS = np.eye(3)[RNG.integers(0, 3, 70)], 2 * np.exp(-1.3 * SMALL) + 0.4 / (1 + 1.3 * SMALL)
LAYERS = [nn.Dense(9, "tanh"), nn.BatchNormalization(), nn.Dropout(0.2), nn.Dense(3, "softmax")]


def network():
    return nn.Sequential(LAYERS, 6, "categorical_crossentropy", name="network")


def decay():
    return nn.Model("decay", "x", "y", {"a": 1, "b": 1, "c": 0}, "a*exp(-b*x) + c/(1 + b*x)")


@pytest.fixture(params=["float64", pytest.param("float32", marks=pytest.mark.thorough)])
def pair(request, tmp_path, monkeypatch):
    """Modules of both models, linked with the library and without it."""
    monkeypatch.setenv("CC", QUICK)

    def both(folder):
        monkeypatch.setenv("NNCODEGEN_CACHE", str(tmp_path / folder))
        modules = [nn.build(model, precision=request.param) for model in (network(), decay())]
        modules[1].fit(SMALL, HEIGHTS)  # it compiles the part, and so does the Hessian
        modules[1].hessian(modules[1].initial_parameters(), SMALL, HEIGHTS)
        return modules

    linked = both("linked")
    assert len(list((tmp_path / "linked").glob("library_*.o"))) == 3
    monkeypatch.setattr(compiler.Compiler, "linked", ())
    included = both("included")
    assert not list((tmp_path / "included").glob("library_*.o"))
    return list(zip(linked, included, strict=True)), {"float64": 1e-12, "float32": 1e-4}[request.param]


def test_linked_or_included(pair):
    """Trainings by every optimizer, with penalties, clipping, phases, predictions, fits and Hessians are the same."""
    ((network, other), (decay, same)), tolerance = pair
    options = {"l1": 1e-3, "l2": 1e-2, "weight_decay": 1e-3, "batch_size": 16, "epochs": 3, "seed": 1}
    for optimizer in RULES:
        clipped = {} if optimizer == "rprop" else {"clipnorm": 0.5}
        data = {"optimizer": optimizer, "learning_rate": 1e-3, "validation_data": (X, CLASSES)}
        results = [module.train(X, CLASSES, **data, **options, **clipped) for module in (network, other)]
        for name in ("parameters", "history"):
            assert getattr(results[0], name) == pytest.approx(getattr(results[1], name), rel=tolerance, abs=tolerance)
    parameters = network.initial_parameters(1)
    for rows in (1, 4, 70):
        computed, expected = (module.predict(parameters, X[:rows]) for module in (network, other))
        assert computed == pytest.approx(expected, rel=tolerance)
    for robust in ("linear", "huber"):
        first, second = (module.fit(SMALL, HEIGHTS + 0.01 * np.sin(9 * SMALL), loss=robust) for module in (decay, same))
        assert first.parameters == pytest.approx(second.parameters, rel=1000 * tolerance)
    tiles = np.tile(SMALL, (4, 1)), np.tile(HEIGHTS, (4, 1)), RNG.uniform(size=160)
    computed, expected = (module.hessian([2, 1.3, 0.4], *tiles) for module in (decay, same))
    assert computed == pytest.approx(expected, rel=tolerance, abs=tolerance)


@pytest.mark.usefixtures("empty_cache")
def test_a_cpu_without_a_variant_of_its_own(monkeypatch):
    """The library is then compiled for that CPU alone."""
    monkeypatch.setenv("CC", QUICK)
    monkeypatch.setattr(compiler, "variant_of", lambda macros: NATIVE)
    module = nn.build(decay())
    assert module.fit(SMALL, HEIGHTS).parameters == pytest.approx([2, 1.3, 0.4], rel=1e-6)
    assert all("_native_" in path.name for path in build.cache_folder().glob("library_*.o"))


def test_variants_of_the_library():
    """A kernel is linked with a variant whose vectors are as long as its own."""

    def chosen(*features):
        return variant_of("".join(f"#define __{feature.upper()}__ 1\n" for feature in features))

    for variant in VARIANTS:
        assert chosen(*variant.features) == variant.name
        assert chosen(*variant.features[:-1]) == NATIVE
    assert chosen(*VARIANTS[0].features, *VARIANTS[1].features) == VARIANTS[0].name
    assert chosen("avx") == NATIVE
    assert chosen("sse2") == chosen() == PLAIN
