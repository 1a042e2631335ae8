"""The stages, one after the other."""

import gc
import subprocess
import sys
from threading import Thread

import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.pipeline import STAGES, compile_model
from nncodegen.perceptron import model
from tests.support import ROOT


def printed(program):
    """Return the words that a process of Python prints."""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_stages_are_observed():
    """Every stage is reported as it ends, with its time and its result."""
    seen = []
    compiled = compile_model(model, observe=seen.append)
    assert [stage.name for stage in seen] == [stage.__name__ for stage in STAGES]
    assert all(stage.seconds >= 0 for stage in seen)
    assert compiled["simplify"] is seen[3].result
    for stage in seen:
        assert stage.result.show()


def test_results_are_represented_shortly():
    """What is printed of a compiled model and of its sources is a line, not all C that was written."""
    compiled = compile_model(model, until="emit")
    for result in (compiled, compiled.sources):
        assert "perceptron" in repr(result)
        assert len(repr(result)) < 120


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_of_garbage_is_left_as_it_was(enabled):
    """It is off while a model is compiled, and afterwards as it was before, also after an error."""
    before, seen = gc.isenabled(), []
    try:
        (gc.enable if enabled else gc.disable)()
        compile_model(model, observe=lambda stage: seen.append(gc.isenabled()), until="emit")
        assert gc.isenabled() is enabled
        with pytest.raises(ValueError, match="there is no stage"):
            compile_model(model, until="nowhere")
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()
    assert not any(seen)


def test_imports_pause_the_collector_of_garbage():
    """The first use of a name imports hundreds of modules, and no collection goes through them; then it is on again."""
    program = """
import gc, nncodegen
def collections():
    return sum(generation["collections"] for generation in gc.get_stats())
before = collections()
nncodegen.build
print(gc.isenabled(), collections() - before)
"""
    enabled, collections = printed(program)
    assert enabled == "True"
    assert int(collections) < 10  # 250 if it were not paused


def test_the_command_line_hides_from_the_collector_what_is_imported():
    """It stays until the end; all else is collected as ever."""
    program = """
import atexit, gc, sys
from nncodegen.__main__ import main
sys.argv = ["nncodegen", "--version"]
atexit.register(lambda: print(gc.isenabled(), gc.get_freeze_count()))
main()
"""
    enabled, hidden = printed(program)[-2:]
    assert enabled == "True"
    assert int(hidden) > 50_000


def test_texts():
    """Every stage up to the schedule can be read, each in a file of its own."""
    texts = compile_model(model, until="schedule").texts()
    assert list(texts) == [
        "stages/1-describe.txt",
        "stages/2-stabilize.txt",
        "stages/3-differentiate.txt",
        "stages/4-simplify.txt",
        "stages/5-schedule.txt",
    ]
    assert "output[n] = sigmoid(" in texts["stages/2-stabilize.txt"]


@pytest.mark.usefixtures("quick_compiler")
def test_texts_while_compilers_run():
    """Texts that are written while compilers run are those that are written later."""
    compiled = compile_model(model, force=True, dump=True)
    assert compiled.written
    assert compiled.texts() == compile_model(model, until="schedule").texts()


@pytest.mark.usefixtures("quick_compiler")
def test_where_no_thread_can_begin(monkeypatch):
    """The compiler is asked later where Python can begin no thread, as at the end of a process."""

    def start(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", start)
    assert not compile_model(model, force=True).built.cached


def test_formulas_import_no_layers():
    """A layer is imported when it is first used."""
    program = """
import sys, nncodegen as nn
nn.compile_model(nn.Model("line", "x", "y", {"a": 1}, "a*x"), until="emit")
print("nncodegen.compiler.describe.attention" in sys.modules, nn.MultiHeadAttention.__module__)
"""
    assert printed(program) == ["False", "nncodegen.compiler.describe.attention"]


def test_rules_that_are_not_read():
    """The C of a formula needs the rule of gradient descent; those of the other optimizers are not even derived."""
    program = """
import nncodegen as nn
from nncodegen.perceptron import model
updates = nn.compile_model(model, until="emit")["simplify"].updates
print(len(updates), *(update.name for update in updates if "steps" in vars(update)))
print(len({update.show() for update in updates}))
"""
    assert printed(program) == ["11", "sgd", "11"]


@pytest.mark.usefixtures("quick_compiler")
def test_formulas_and_layers_give_the_same_program():
    """A network written as a formula and as layers has the same loss and gradient: one representation serves both."""
    layered = nn.Sequential([nn.Dense(2, "tanh"), nn.Dense(1, "sigmoid")], 2, "binary_crossentropy", name="layered")
    w = sympy.symbols("w:9")
    x1, x2, y = sympy.symbols("x1 x2 y")
    h = [sympy.tanh(w[2 * j] * x1 + w[2 * j + 1] * x2 + w[4 + j]) for j in range(2)]
    output = 1 / (1 + sympy.exp(-(w[6] * h[0] + w[7] * h[1] + w[8])))
    loss = -y * sympy.log(output) - (1 - y) * sympy.log(1 - output)
    written = nn.Model("written", [x1, x2], [y], dict.fromkeys(w, 0.0), output, loss)
    first, second = nn.build(layered), nn.build(written)
    parameters = first.initial_parameters(seed=2)
    X, Y = [[0.3, -1.0], [2.0, 0.5], [-0.7, 0.1]], [0.0, 1.0, 1.0]
    of_layers, of_formula = (module.loss_and_gradient(parameters, X, Y) for module in (first, second))
    assert abs(of_layers[0] - of_formula[0]) < 1e-15
    assert max(abs(of_layers[1] - of_formula[1])) < 1e-15


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.thorough)])
def test_a_large_formula(count):
    """A formula of a hundred parameters goes through all symbolic stages; with --thorough, one of a thousand."""
    w = sympy.symbols(f"w:{count}")
    x, y = sympy.symbols("x y")
    output = sympy.Add(*(w[2 * k] * sympy.tanh(w[2 * k + 1] * x + k) for k in range(count // 2)))
    large = nn.Model("large", [x], [y], dict.fromkeys(w, 0.1), output, (output - y) ** 2)
    program = compile_model(large, until="schedule")["simplify"]
    assert len(program.gradient) == count
    assert len(program.steps) < 7 * count
