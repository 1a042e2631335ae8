"""Types that the signatures of the runtime share."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
"""An array of NumPy; docstrings give its shape and type."""
