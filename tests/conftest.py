"""What the tests share: random examples that are the same everywhere, a build cache, models by name, a flag.

The flag renews golden files.
"""

import os
import tempfile

import pytest
from hypothesis import settings

from tests.support import SUPPORT

settings.register_profile("repeatable", derandomize=True, deadline=None)  # the same examples, wherever they are tried
settings.load_profile("repeatable")


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="renew generated/perceptron")


def pytest_configure(config):
    cache = getattr(config, "cache", None)  # not with -p no:cacheprovider
    folder = cache.mkdir("nncodegen") if cache else tempfile.mkdtemp(prefix="nncodegen")
    os.environ.setdefault("NNCODEGEN_CACHE", str(folder))


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """A build cache that holds nothing."""
    monkeypatch.setenv("NNCODEGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def perceptron():
    """The compiled perceptron."""
    import nncodegen as nn
    from nncodegen.perceptron import model

    return nn.build(model)


@pytest.fixture(scope="session")
def chain():
    """A compiled 4-5-3 network with three classes."""
    import nncodegen as nn

    layers = [nn.Dense(5, "tanh"), nn.Dense(3, "softmax")]
    return nn.build(nn.Sequential(layers, inputs=4, loss="categorical_crossentropy", name="chain"))


@pytest.fixture(scope="module")
def quick_compiler():
    """Modules are compiled without optimization, also by processes that a test starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", str(SUPPORT / "quick_cc"))
        yield
