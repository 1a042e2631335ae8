"""What can go wrong in a benchmark."""

from nncodegen.errors import NncodegenError


class BenchError(NncodegenError):
    """A benchmark that cannot be run, or whose peers disagree."""
