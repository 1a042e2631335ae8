"""The error of a benchmark."""

from nncodegen.errors import NncodegenError


class BenchError(NncodegenError):
    """The error for a benchmark that cannot be run, or whose peers disagree."""
