"""How many random examples a property is tried with: the same few in every run, or, with --search, many others."""

from hypothesis import settings

_times = 1


def search(times):
    """From now on, properties are tried with ``times`` as many examples, which differ from run to run."""
    global _times  # noqa: PLW0603 (set once, before tests are collected)
    _times = times
    settings.register_profile("search", deadline=None, max_examples=100 * times, print_blob=True)
    settings.load_profile("search")


def repeat():
    """From now on, properties are tried with the same examples, wherever and whenever."""
    settings.register_profile("repeatable", derandomize=True, deadline=None)
    settings.load_profile("repeatable")


def examples(count, **others):
    """The settings of a property that is not tried with a hundred examples, which is the usual number."""
    return settings(max_examples=count * _times, **others)
