"""Modules that are not compiled, where there is no C compiler: the evaluator gives what C gives, but nothing trains."""

from nncodegen.compiler.slow.module import slow_module

__all__ = ["slow_module"]
