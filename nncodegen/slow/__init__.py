"""What stands for a compiled module where there is no C compiler: the same interface, evaluated with NumPy, slowly."""

from nncodegen.slow.module import NAME, slow_module

__all__ = ["NAME", "slow_module"]
