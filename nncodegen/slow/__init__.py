"""What stands for a compiled module where there is no C compiler: the same interface, evaluated with NumPy, slowly."""

from nncodegen.slow.module import slow_module
from nncodegen.slow.plan import columns_of

__all__ = ["columns_of", "slow_module"]
