"""What tests of the C runtime share: libraries of its functions, in both precisions and several builds."""

import itertools

import pytest

from tests.support.runtime import BUILDS, MODELS, PRECISIONS, SOURCES, Library, builds_of_libraries, compiled


def _name(each):
    return f"float{each[0]}-{each[1]}"


def _libraries(bits, build, folder):
    """A function from the name of a source in ``tests/c/runtime``, and options, to its compiled library."""
    libraries = {}

    def library(name, *options):
        key = (name, *options)
        if key not in libraries:
            target = folder / f"{len(libraries)}-{name}.so"
            compiled(BUILDS[build], SOURCES / f"{name}.c", target, (f"-DNN_BITS={bits}", *options))
            libraries[key] = Library(target, bits)
        return libraries[key]

    return library


@pytest.fixture(scope="session", params=itertools.product((64, 32), builds_of_libraries()), ids=_name)
def runtime(request, tmp_path_factory):
    """A function from the name of a source in ``tests/c/runtime``, and options, to its compiled library."""
    return _libraries(*request.param, tmp_path_factory.mktemp("runtime"))


@pytest.fixture(scope="session", params=zip(MODELS, builds_of_libraries() * 2, strict=False), ids="-".join)
def model(request, tmp_path_factory):
    """The library of whole trainings, for a kind of model."""
    kind, build = request.param
    return _libraries(PRECISIONS[kind], build, tmp_path_factory.mktemp(kind))("training", *MODELS[kind])
