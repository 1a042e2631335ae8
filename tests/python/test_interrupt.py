"""Ctrl-C ends what is under way, soon, whoever does the work: a call that went on would take hours here."""

import os
import subprocess
import sys
import textwrap

import pytest

from tests.support import ROOT

pytestmark = pytest.mark.usefixtures("quick_compiler")

CALLS = {
    "many, one by one": "apart.train_many(X, Y, models=8, epochs=10**9, history=False, threads={threads})",
    "many, side by side": "grouped.train_many(X, Y, models=500, epochs=10**9, history=False, threads={threads})",
    "in registers": "grouped.train(X, Y, batch_size=1, epochs=10**9)",
    "noise": "apart.train(X, Y, epochs=10**9, threads={threads})",
    "a stream": "apart.train_on_stream(itertools.repeat((X, Y)), threads={threads})",
    "fits": "decay.fit_many(times, noise, parameters=starts, threads={threads})",
    "a minimizer": "grouped.minimize(X, Y, method='Nelder-Mead', options=dict(maxiter=10**12, maxfev=10**12), tol=0)",
}


def test_interrupt():
    """Calls of every kind, with one thread and with three, end with KeyboardInterrupt, and their threads with them."""
    calls = ", ".join(
        f"lambda: {call}"
        for call in dict.fromkeys(call.format(threads=threads) for call in CALLS.values() for threads in (1, 3))
    )
    program = f"""
        import itertools, os, signal, threading, time
        import numpy as np
        import nncodegen as nn
        import scipy.optimize  # an import that is interrupted may fail in other ways
        import sympy

        layers = [nn.Dense(24, "silu"), nn.Dropout(0.3), nn.Dense(1)]
        apart = nn.build(nn.Sequential(layers, 5, name="apart"), fit=False)
        grouped = nn.build(nn.Sequential([nn.Dense(3, "tanh"), nn.Dense(1)], 5, name="grouped"), fit=False)
        a, b, t, y = sympy.symbols("a b t y")
        decay = nn.build(nn.Model("decay", t, y, {{a: 1, b: 1}}, a*sympy.exp(-b*t)))
        rng = np.random.default_rng(0)
        times, noise, starts = rng.uniform(size=200_000), rng.normal(size=200_000), np.ones((10**6, 2))
        X, Y = rng.normal(size=(1000, 5)), rng.normal(size=(1000, 1))
        calls = [{calls}]
        for call in calls:
            timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
            try:
                timer.start()
                call()
            except KeyboardInterrupt:
                print("answered", flush=True)
            timer.join()
            for _ in range(200):  # one that was just being started ends a moment later
                if threading.active_count() == 1:
                    break
                time.sleep(0.05)
            assert threading.active_count() == 1
        """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.splitlines() == ["answered"] * (2 * len(CALLS) - 2), done.stderr
