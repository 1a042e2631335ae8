"""Parts of a module that are compiled when they are first needed: fits, many models, the Hessian, fields."""

import cProfile
import itertools
import math
import os
import pstats
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.building import parts
from nncodegen.compiler.building.build import load
from nncodegen.compiler.building.files import is_intact
from nncodegen.compiler.describe import check_program
from nncodegen.compiler.emit import facts
from nncodegen.compiler.ir import evaluate
from nncodegen.compiler.ir.graphs import graph_of
from nncodegen.compiler.ir.systems import formulas_of
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.hessian import NAME
from nncodegen.compiler.passes.rules.forms import stable_form
from nncodegen.compiler.passes.rules.holes import vanishing_times_log
from nncodegen.compiler.passes.simplify import simplify
from nncodegen.compiler.passes.stabilize import stabilize
from nncodegen.compiler.schedule import verify
from nncodegen.runtime.python.ground.facts import read
from nncodegen.runtime.python.native import builder
from tests.support import ROOT
from tests.support.allocated import allocated

pytestmark = pytest.mark.usefixtures("quick_compiler")

x, y = sympy.symbols("x y")
X = np.linspace(0, 3, 20)[:, None]
DATA = 2 * np.exp(-0.7 * X) + 0.3 + 0.01 * np.sin(9 * X)


def decay(name="parted"):
    return nn.Model(name, "x", "y", {"a": 1, "b": 0.5, "c": 0.1}, "a*exp(-b*x) + c")


@pytest.fixture(scope="module")
def caches(quick_compiler, tmp_path_factory):
    """Two build caches that have the module without its parts, and the whole one."""
    makers = {"apart": nn.build, "whole": nn.compile_model}
    folders = {name: tmp_path_factory.mktemp(name) for name in makers}
    shared = ("wrapper_*", "library_*", "python_*")
    for name, make in makers.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NNCODEGEN_CACHE", str(folders[name]))
            make(decay())
        if name == "apart":  # what all modules are linked with is the same
            for path in (path for pattern in shared for path in folders["apart"].glob(pattern)):
                shutil.copy2(path, folders["whole"])
    return folders


@pytest.fixture
def cache(caches, tmp_path, monkeypatch):
    """A build cache that has the module without its parts, and none of them."""
    monkeypatch.setenv("NNCODEGEN_CACHE", str(tmp_path / "cache"))
    return shutil.copytree(caches["apart"], tmp_path / "cache")


def libraries(module):
    """The parts of a module that have been compiled."""
    return {path.stem: path for path in Path(module.__file__).parent.glob("parts_*/*.so")}


def test_a_part_is_compiled_when_it_is_first_needed(cache):
    """Training compiles no part, a fit that of fits alone; what is there once is compiled neither again nor anew."""
    module = nn.build(decay())
    module.train(X, DATA, epochs=2)
    assert not libraries(module)
    module.fit(X, DATA)
    assert {*libraries(module)} == {"fitting"}
    made = libraries(module)["fitting"].stat().st_mtime_ns
    again = nn.build(decay())
    assert again.__file__ == module.__file__
    again.fit(X, DATA)
    again.hessian(again.initial_parameters(), X, DATA)
    assert {*libraries(module)} == {"fitting", "hessian"}
    assert libraries(module)["fitting"].stat().st_mtime_ns == made


def test_parts_compute_the_same_bits_as_a_whole_module(caches, cache):
    """Whether its parts are linked or loaded, a module gives equal results."""
    module = nn.build(decay())
    shutil.copytree(caches["whole"], cache, dirs_exist_ok=True)
    whole = load(nn.compile_model(decay()).built)
    assert module.__file__ != whole.__file__
    start = whole.initial_parameters()
    several = np.array([start, start + 0.1, start + 0.2])
    for call in (
        lambda m: m.fit(X, DATA).parameters,
        lambda m: m.fit(X, DATA).covariance,
        lambda m: m.jacobian(start, X),
        lambda m: m.hessian(start, X, DATA),
        lambda m: m.fit_many(X, np.stack([DATA, 2 * DATA])).parameters,
        lambda m: m.train_many(X, DATA, parameters=several, epochs=3, learning_rate=0.01).parameters,
    ):
        assert np.array_equal(call(module), call(whole))
    assert {*libraries(module)} == {"fitting", "hessian", "many"}
    assert not libraries(whole)


@pytest.mark.parametrize("options", [{}, {"method": "rk4", "steps": 2}], ids=["chosen", "a number of steps"])
def test_models_side_by_side_are_left_for_later(options):
    """The sources of a build without parts have none of many models, and know all else about them."""
    model = nn.Dynamics("u' = -k*u", {"u": 1}, {"k": 1}, times=4, name="left_for_later", **options)
    later, whole = (nn.compile_model(model, until="emit", apart=apart) for apart in (True, False))
    assert not [file for file in later.sources.files if file.endswith("_many.c")]
    assert "left_for_later_many.c" in whole.sources.files
    facts_of_both = [read(facts(compiled["schedule"])) for compiled in (later, whole)]
    assert facts_of_both[0].side_by_side
    assert facts_of_both[0].steps.lanes == facts_of_both[1].steps.lanes


def test_the_values_of_equations_are_a_part(cache):
    """The residuals and derivatives that a loss consists of are computed by a part, with equal results."""
    u = sympy.Function("u")(x)
    losses = {"equation": u.diff(x) + u, "begin": u - y}
    network = nn.Sequential([nn.Dense(3, "tanh"), nn.Dense(1)], inputs=x, outputs=u, losses=losses, name="equated")
    module, whole = nn.build(network), load(nn.compile_model(network).built)
    start = module.initial_parameters(0)
    assert not libraries(module)
    left, right = (m.residuals(start, {"equation": X})["equation"] for m in (module, whole))
    assert np.array_equal(left, right)
    assert {*libraries(module)} == {"fields"}


def test_a_model_without_a_part_says_so_as_before(cache):
    """A network that was built without fit=True has no fits, and compiles nothing to find that out."""
    module = nn.build(nn.Sequential([nn.Dense(2, "tanh"), nn.Dense(1)], 1, name="parted_network"))
    with pytest.raises(ValueError, match="fit=True"):
        module.fit(X, DATA)
    assert "fitting" not in libraries(module)


def test_a_damaged_part_is_compiled_again(cache):
    """A library that is not the one that was made is never loaded."""
    module = nn.build(decay())
    parameters = module.fit(X, DATA).parameters
    library = libraries(module)["fitting"]
    damaged = library.with_suffix(".damaged")
    os.rename(library, damaged)  # which this process has loaded, and keeps
    library.write_bytes(damaged.read_bytes()[:1000])
    assert not is_intact(library)
    program = f"""
import nncodegen as nn, numpy as np
X = np.linspace(0, 3, 20)[:, None]
DATA = 2 * np.exp(-0.7 * X) + 0.3 + 0.01 * np.sin(9 * X)
module = nn.build(nn.Model("parted", "x", "y", {{"a": 1, "b": 0.5, "c": 0.1}}, "a*exp(-b*x) + c"))
assert module.__file__ == {module.__file__!r}
print(module.fit(X, DATA).parameters.tobytes().hex())
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == parameters.tobytes().hex(), done.stderr
    assert is_intact(library)


def test_threads_that_need_a_part_at_once_compile_it_once(cache, monkeypatch):
    """The first compiles it; the others wait, and then use it."""
    module = nn.build(decay())
    calls, right = [], parts.compile_part
    monkeypatch.setattr(parts, "compile_part", lambda *arguments: calls.append(1) or right(*arguments))
    fitted = []
    threads = [threading.Thread(target=lambda: fitted.append(module.fit(X, DATA).parameters)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(each, fitted[0]) for each in fitted)
    assert len(fitted) == 4
    assert len(list(cache.glob("apart_*/parts_*/fitting.so"))) == 1


def test_a_part_that_cannot_be_compiled_is_told(cache, monkeypatch):
    """The call that needs it raises, with the compiler's words; training goes on, and so does the fit later."""
    module = nn.build(decay())
    whole, compiler = parts._OFFERED[Path(module.__file__)]
    monkeypatch.setitem(parts._OFFERED, Path(module.__file__), (whole, replace(compiler, command=("false",))))
    with pytest.raises(nn.BuildError, match=r"the compiler failed .*\n    false "):
        module.fit(X, DATA)
    module.train(X, DATA, epochs=1)
    monkeypatch.setitem(parts._OFFERED, Path(module.__file__), (whole, compiler))
    assert module.fit(X, DATA).converged


def test_ctrl_c_ends_the_compiler_of_a_part(cache, tmp_path, monkeypatch):
    """The call raises KeyboardInterrupt, the compiler is no longer running, and the next call compiles the part."""
    module = nn.build(decay())
    whole, compiler = parts._OFFERED[Path(module.__file__)]
    slow = tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setitem(parts._OFFERED, Path(module.__file__), (whole, replace(compiler, command=(str(slow),))))

    def interrupt():
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.01)
        time.sleep(0.3)  # until the call waits for it
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        module.fit(X, DATA)
    thread.join()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    monkeypatch.setitem(parts._OFFERED, Path(module.__file__), (whole, compiler))
    assert module.fit(X, DATA).converged


def test_without_the_package_a_part_says_what_to_do(cache, monkeypatch):
    """A module of the cache that is loaded without nncodegen names the part, and how to get a whole module."""
    module = nn.build(decay())
    monkeypatch.setattr(builder, "_known", [])
    monkeypatch.setattr(builder, "GROUP", "nothing")
    with pytest.raises(ImportError, match=r"the part 'fitting' .*not with out=FOLDER.* needs nncodegen"):
        module.fit(X, DATA)


def test_a_whole_module_in_the_cache_is_used(caches, cache):
    """Such as one that has a certificate: a build finds it, and compiles nothing."""
    shutil.copytree(caches["whole"], cache, dirs_exist_ok=True)
    whole = load(nn.compile_model(decay()).built)
    module = nn.build(decay())
    assert module.__file__ == whole.__file__
    module.fit(X, DATA)
    assert not libraries(module)


def sum_of(units):
    """A formula of three parameters for each unit."""
    p = [sympy.symbols(f"a{k} b{k} c{k}") for k in range(units)]
    output = sympy.Add(*(a * sympy.tanh(b * x + c) for a, b, c in p))
    by_name = {symbol: 0.1 * (k % 7) for k, symbol in enumerate(symbol for row in p for symbol in row)}
    return nn.Model("grown", x, y, by_name, output, (output - y) ** 2)


def calls_of(work):
    """The calls of functions that a work makes."""
    profile = cProfile.Profile()
    profile.runcall(work)
    return pstats.Stats(profile).total_calls


NOT_ON_WINDOWS = pytest.mark.skipif(sys.platform == "win32", reason="compiles a library that counts")


def growths():
    """What is counted, of which numbers of units, of a module in parts or whole.

    Every run counts the calls of one, and the bytes of the other.
    """
    sizes = {"small": (10, 40), "large": (100, 1000)}
    for size, counter, apart in itertools.product(sizes, ("calls", "bytes"), (True, False)):
        counted, marks = (allocated, [NOT_ON_WINDOWS]) if counter == "bytes" else (calls_of, [])
        if size == "large" or apart != (counter == "calls"):
            marks = [*marks, pytest.mark.thorough]
        name = "-".join([counter, size, "in parts" if apart else "whole"])
        yield pytest.param(counted, *sizes[size], apart, id=name, marks=marks)


@pytest.mark.parametrize(("counted", "few", "many", "apart"), [*growths()])
def test_no_pass_grows_faster_than_n_log_n(counted, few, many, apart):
    """From a formula to its C, ten times the parameters take ten times the operations, and a logarithm.

    Counted are calls of functions, and the bytes of all that is allocated: no call shows that C copies a dictionary.
    """

    def operations(units):
        model = sum_of(units)
        return counted(lambda: nn.compile_model(model, until="emit", apart=apart))

    operations(2)  # what is computed once in a process
    bound = many * math.log(3 * many) / (few * math.log(3 * few))
    assert operations(many) / operations(few) <= bound


def rates_of(depth, units=2, name="f"):
    """Stiff equations of two states with pairs of layers of few units, which are written out there, as formulas."""
    layers = [layer for _ in range(depth) for layer in (nn.Dense(units, "tanh"), nn.LayerNormalization())]
    network = nn.Sequential([*layers, nn.Dense(1)], inputs=2)
    return nn.Dynamics(
        [f"u' = -k*(u - {name}(v, t))", "v' = u - v"],
        {"u": 1, "v": 0},
        {"k": 2.0},
        times=3,
        method="rodas5p",
        networks={name: network},
        name="grown_rates",
    )


def test_rates_of_layers_are_read_as_graphs():
    """Their derivatives by all weights take calls as the square of the weights, and a logarithm, although the formulas
    grow much faster as trees; nor do their texts grow like these."""

    def operations(*sizes):
        return calls_of(lambda: nn.compile_model(rates_of(*sizes), until="emit", apart=True))

    operations(1, 1)  # what is computed once in a process
    few, many, weights = operations(1), operations(2), (13, 23)
    assert many / few <= (weights[1] / weights[0]) ** 2 * math.log(weights[1]) / math.log(weights[0])
    texts = [len(rates_of(depth).describe().show()) for depth in (2, 3)]
    assert texts[1] < 3 * texts[0]


def parts_in(program):
    """The number of different parts of all formulas of a program."""
    return len(graph_of(formula for step in program.steps for formula in formulas_of(step)).nodes)


@pytest.mark.parametrize("passes", [(stabilize,), (stabilize, differentiate, simplify)], ids=["stable", "simple"])
def test_passes_over_rates_take_calls_in_proportion_to_their_parts(passes):
    """So do the checks after each pass: what grows with the square of the weights are the derivatives themselves."""

    def counted(depth, units=2):
        program = rates_of(depth, units, f"f{len(passes)}{depth}{units}").describe()  # no part of which is known yet
        ratios = []
        for task in (lambda checked: checked, *passes):
            size, done = parts_in(program), []
            calls = calls_of(lambda task=task, argument=program, done=done: done.append(task(argument)))
            (program,) = done
            calls += calls_of(lambda argument=program: check_program(argument))
            both = size + parts_in(program)
            ratios.append(calls / (both * math.log(both)))
        return ratios

    counted(1, 1)  # what is computed once in a process
    few, many = counted(1), counted(2 if len(passes) > 1 else 4)
    assert all(more < 1.3 * less for less, more in zip(few, many, strict=True))


def branches_of(count):
    """A line for each interval of x, in one Piecewise."""
    p = [sympy.symbols(f"a{k} b{k}") for k in range(count)]
    output = sympy.Piecewise(*((a * x + b, x < k) for k, (a, b) in enumerate(p[:-1])), (p[-1][0] * x + p[-1][1], True))
    return nn.Model("branches", x, y, {s: 0.1 * k for k, s in enumerate(s for row in p for s in row)}, output)


def test_many_branches_take_calls_in_proportion():
    """The derivative of each branch does not repeat the conditions of all others."""

    def operations(count):
        return calls_of(lambda: nn.compile_model(branches_of(count), until="emit"))

    operations(3)  # what is computed once in a process
    assert operations(24) / operations(8) <= 24 * math.log(48) / (8 * math.log(16))


@pytest.mark.parametrize("row", [[-1.0], [3.0], [7.5], [11.0], [30.0]])
def test_derivatives_of_many_branches(row):
    """At each place they are those of the line there, of the first and of the second order."""
    count, target = 20, 0.3
    stages = nn.compile_model(branches_of(count), until="simplify")
    program = stages["simplify"]
    values, at = np.linspace(-1, 1, 2 * count), row[0]
    here = next((k for k in range(count - 1) if at < k), count - 1)
    slope = np.zeros(2 * count)
    slope[2 * here : 2 * here + 2] = at, 1
    error = values @ slope - target
    evaluated = evaluate(program, values, [row], [[target]])
    gradient = [float(evaluated[e.tensor]) for e in program.gradient]
    assert gradient == pytest.approx(2 * error * slope, rel=1e-12, abs=1e-15)
    (second,) = (companion.program for companion in stages.findings.companions.simplified if companion.name == NAME)
    direction = np.cos(np.arange(2 * count))
    evaluated = evaluate(second, np.concatenate([values, direction]), [row], [[target]])
    changes = [float(evaluated[e.tensor]) for e in second.gradient]
    assert changes == pytest.approx(2 * slope * (slope @ direction), rel=1e-12, abs=1e-15)


def test_rules_of_logarithms_look_through_no_product_without_one():
    """The rules for products visit each of many factors a few times, not once for each other factor."""
    p = sympy.symbols("p:160")
    few, many = (sympy.Mul(*(1 + number * x for number in p[:count])) for count in (40, 160))
    assert calls_of(lambda: vanishing_times_log(many)) < 6 * calls_of(lambda: vanishing_times_log(few))


def test_maxima_that_stay_are_not_compared_again(monkeypatch):
    """Without a rule that changes it, a maximum is not constructed anew: SymPy would compare its arguments."""
    written = sympy.Max(x * y, x + 1)
    monkeypatch.setattr(sympy.Max, "_is_connected", classmethod(lambda cls, a, b: pytest.fail("compared")))
    assert stable_form(written) is written


def test_allocated_bytes_show_copies():
    """A dictionary that is copied for each of its keys allocates the square of their number."""
    few, many = (dict.fromkeys(range(count)) for count in (500, 2000))
    assert allocated(lambda: [len({**many}) for _ in many]) > 10 * allocated(lambda: [len({**few}) for _ in few])


def test_the_check_of_a_tree_copies_no_set(monkeypatch):
    """The tensors that are written grow with a kernel: they are not copied for each value that is checked."""
    copied = []

    class Counted(set):
        def __or__(self, other):
            copied.append(len(self))
            return Counted(set(self) | set(other))

    made = verify._Check
    checks = []

    def make(*arguments):
        checks.append(replace(made(*arguments), written=Counted()))
        return checks[-1]

    monkeypatch.setattr(verify, "_Check", make)
    nn.compile_model(sum_of(10), until="schedule", apart=True)
    assert any(len(check.written) > 20 for check in checks)
    assert not copied


def test_functions_that_stay_are_not_evaluated_again(monkeypatch):
    """Without a rule that changes it, a function is not constructed anew: SymPy would look for its values again."""
    written = next(step.expression for step in sum_of(10).describe().steps if str(step.target) == "output[n]")
    evaluated = []
    known = sympy.tanh.eval
    monkeypatch.setattr(
        sympy.tanh, "eval", classmethod(lambda cls, argument: evaluated.append(argument) or known(argument))
    )
    sympy.core.cache.clear_cache()
    assert len(stable_form(written).args) == 10
    assert not evaluated
