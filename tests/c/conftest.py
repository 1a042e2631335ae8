"""What tests of the C runtime share: libraries of its functions, in both precisions and several builds."""

import itertools

import pytest

from tests.support.runtime import (
    BUILDS,
    LIGHT_BUILDS,
    MODELS,
    PRECISIONS,
    SOURCES,
    Library,
    builds_of_libraries,
    compiled,
)


def _libraries(bits, build, folder):
    """A function from the name of a source in ``tests/c/runtime``, and options, to its compiled library."""
    libraries = {}

    def library(name, *options):
        key = (name, *options)
        if key not in libraries:
            target = folder / f"{len(libraries)}-{name}.so"
            compiled((BUILDS | LIGHT_BUILDS)[build], SOURCES / f"{name}.c", target, (f"-DNN_BITS={bits}", *options))
            libraries[key] = Library(target, bits)
        return libraries[key]

    return library


def _precisions_and_builds():
    """Each precision by another compiler, with little optimization; with --thorough each in every build."""
    builds = builds_of_libraries()
    marks = [pytest.mark.thorough] if len(builds) > 1 else []
    if marks:
        for bits, build in zip((64, 32), reversed(LIGHT_BUILDS), strict=True):
            yield pytest.param((bits, build), id=f"float{bits}-{build}")
    for bits, build in itertools.product((64, 32), builds):
        yield pytest.param((bits, build), marks=marks, id=f"float{bits}-{build}")


@pytest.fixture(scope="session", params=_precisions_and_builds())
def runtime(request, tmp_path_factory):
    """A function from the name of a source in ``tests/c/runtime``, and options, to its compiled library."""
    return _libraries(*request.param, tmp_path_factory.mktemp("runtime"))


@pytest.fixture(scope="session", params=zip(MODELS, builds_of_libraries() * 2, strict=False), ids="-".join)
def model(request, tmp_path_factory):
    """The library of whole trainings, for a kind of model."""
    kind, build = request.param
    return _libraries(PRECISIONS[kind], build, tmp_path_factory.mktemp(kind))("training", *MODELS[kind])
