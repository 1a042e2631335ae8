"""A cluster of Dask on this machine."""

import warnings
from contextlib import contextmanager

import dask
import distributed


@contextmanager
def cluster_of_two(folder):
    """Two worker processes, which are forked from one that has imported what takes long, and write to a folder."""
    options = {
        "temporary-directory": str(folder),
        "distributed.worker.daemon": True,
        "distributed.worker.multiprocessing-method": "forkserver",
    }
    with warnings.catch_warnings(), dask.config.set(options):
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster:
            yield cluster
