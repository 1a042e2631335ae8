"""The tests; OpenBLAS has no threads of its own in them, where several processes share the cores."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
