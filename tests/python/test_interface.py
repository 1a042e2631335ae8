"""The compiled module as its users meet it: what it takes, what it gives, what it refuses."""

import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import sympy

import nncodegen as nn

pytestmark = pytest.mark.usefixtures("quick_compiler")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 4))
Y = RNG.integers(0, 3, 150)


def test_attributes(chain, perceptron):
    """Names, shapes, precision and operation counts are attributes."""
    assert (chain.name, chain.precision, chain.dtype) == ("chain", "float64", np.dtype(float))
    assert chain.input_names == ("x[0]", "x[1]", "x[2]", "x[3]")
    assert chain.target_names == ("y[0]", "y[1]", "y[2]")
    assert chain.output_names == ("h2[0]", "h2[1]", "h2[2]")
    assert chain.parameter_shapes == {"W1": (5, 4), "b1": (5,), "W2": (3, 5), "b2": (3,)}
    assert (chain.parameter_count, chain.output_count) == (43, 3)
    assert perceptron.parameter_names == ("w0", "w13", "w14", "w23", "w24", "w35", "w45")
    assert perceptron.operations["simplified"] < perceptron.operations["written_out"]
    assert set(chain.optimizers) == {
        "sgd",
        "momentum",
        "nesterov",
        "adagrad",
        "rmsprop",
        "adam",
        "adamw",
        "nadam",
        "adamax",
        "lion",
        "rprop",
    }
    assert chain.optimizers["adam"] == {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}
    for function in (
        chain.predict,
        chain.loss,
        chain.loss_and_gradient,
        chain.train,
        chain.unpack,
        chain.initial_parameters,
    ):
        assert function.__doc__


def test_needs_numpy_alone(tmp_path):
    """Importing and using a module that was written to a folder loads neither nncodegen nor SymPy nor Cython."""
    layers = [nn.Dense(5, "tanh"), nn.Dense(3, "softmax")]
    nn.build(nn.Sequential(layers, inputs=4, loss="categorical_crossentropy", name="alone"), out=tmp_path)
    program = """
        import sys
        sys.path.insert(0, ".")
        import alone
        alone.train([[1, 2, 3, 4]]*3, [0, 1, 2], epochs=2, optimizer="adam")
        alone.train_many([[1, 2, 3, 4]]*3, [0, 1, 2], models=2, epochs=2)
        loaded = {name.split(".")[0] for name in sys.modules}
        assert not loaded & {"nncodegen", "sympy", "Cython", "scipy", "click"}, loaded
        """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, cwd=tmp_path)


def test_unpack_gives_views(chain):
    """Parameters by name are views: what is written to them is in the array."""
    parameters = chain.initial_parameters(seed=1)
    views = chain.unpack(parameters)
    views["W2"][1, 2] = 7
    assert parameters[25 + 5 + 2] == 7
    with pytest.raises(ValueError, match=r"parameters has the shape \(3,\); expected \(43,\)"):
        chain.unpack(np.zeros(3))


def test_weighted_mean(chain):
    """sample_weight gives the weighted mean: an integer weight counts a sample that often."""
    parameters = chain.initial_parameters()
    weight = RNG.integers(0, 4, 150)
    repeated = np.repeat(np.arange(150), weight)
    loss, gradient = chain.loss_and_gradient(parameters, X, Y, sample_weight=weight)
    expected, expected_gradient = chain.loss_and_gradient(parameters, X[repeated], Y[repeated])
    assert loss == pytest.approx(expected, rel=1e-13)
    assert gradient == pytest.approx(expected_gradient, rel=1e-11, abs=1e-14)
    assert chain.loss(parameters, X, Y, weight) == pytest.approx(expected, rel=1e-13)


def test_targets_in_three_forms(chain):
    """Integer labels, one-hot rows and probabilities mean what they should."""
    parameters = chain.initial_parameters()
    one_hot = np.eye(3)[Y]
    assert chain.loss(parameters, X, Y) == chain.loss(parameters, X, one_hot)
    assert chain.loss(parameters, X, Y.astype(float)) == chain.loss(parameters, X, one_hot)
    smooth = 0.9 * one_hot + 0.1 / 3
    expected = -(smooth * np.log(chain.predict(parameters, X))).sum(axis=1).mean()
    assert chain.loss(parameters, X, smooth) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(
    ("kind", "convert"),
    [
        ("list", lambda a: a.tolist()),
        ("integers", lambda a: np.rint(3 * a).astype(int)),
        ("booleans", lambda a: a > 0),
        ("float32", lambda a: a.astype(np.float32)),
        ("Fortran order", np.asfortranarray),
        ("strided", lambda a: np.repeat(a, 2, axis=0)[::2]),
        ("reversed", lambda a: a[::-1]),
        ("objects", lambda a: a.astype(object)),
        ("big-endian", lambda a: a.astype(">f8")),
    ],
)
def test_arrays_of_any_kind(chain, kind, convert):
    """Lists and arrays of any memory layout and real type work, and are not written to."""
    converted = convert(X)
    plain = np.array(converted, dtype=float, order="C")
    before = np.array(converted, copy=True)
    parameters = chain.initial_parameters()
    assert np.array_equal(chain.predict(parameters, converted), chain.predict(parameters, plain))
    first, second = (chain.train(data, Y, epochs=3, batch_size=32) for data in (converted, plain))
    assert np.array_equal(first.parameters, second.parameters)
    assert np.array_equal(np.asarray(converted, float), before.astype(float))


def test_read_only_and_mapped_arrays(chain, tmp_path):
    """Read-only arrays and memory maps work."""
    frozen = X.copy()
    frozen.setflags(write=False)
    start = chain.initial_parameters()
    start.setflags(write=False)
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    results = [chain.train(data, Y, parameters=start, epochs=2).parameters for data in (X, frozen, mapped)]
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])
    assert np.array_equal(start, chain.initial_parameters())


def test_a_result_is_no_array(chain):
    """Who gives a result in the place of parameters is told what to take of it."""
    result = chain.train(X, Y, epochs=1)
    with pytest.raises(ValueError, match=r"parameters is <Result: .*>, not its array: give .parameters of it"):
        chain.predict(result, X)


def bad(position, value):
    data = X.copy()
    data[position] = value
    return data


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": X[:, :3]}, r"X has the shape \(150, 3\); expected \(samples, 4\)"),
        ({"X": X[0]}, r"X has the shape \(4,\); .*give it as \[X\]"),
        ({"X": X[:0], "Y": Y[:0]}, "X is empty"),
        ({"X": None}, "X is missing"),
        ({"Y": None}, "Y is missing"),
        ({"X": X[:10]}, "X has 10 rows, but Y has 150"),
        ({"X": bad((7, 2), np.nan)}, r"X\[7, 2\] is nan"),
        ({"X": bad((149, 0), -np.inf)}, r"X\[149, 0\] is -inf"),
        ({"X": [["a", "b", "c", "d"]]}, r"X\[0, 0\] is 'a', which is no real number"),
        ({"X": [[1, 2, None, 4]]}, r"X\[0, 2\] is None, which is no real number"),
        ({"X": [[1, 2, 3, 4], [5, 6, "seven", 8]]}, r"X\[1, 2\] is 'seven', which is no real number"),
        ({"X": [[1, 2, 3, 4j]]}, r"X\[0, 3\] is 4j, which is no real number"),
        ({"X": [[1, 2, 3, 10**400]]}, r"X\[0, 3\] is 1000000.*, which is too large"),
        ({"X": np.ma.masked_less(X, 0)}, "X is a masked array with masked values"),
        ({"X": [[1, 2, 3, 4], [1, 2]]}, "its rows differ in length"),
        ({"Y": np.where(np.arange(150) == 5, 3, Y)}, r"Y\[5\] is 3, which is no class; expected labels 0 to 2"),
        ({"Y": np.where(np.arange(150) == 6, 0.5, Y)}, r"Y\[6\] is 0.5, which is no class"),
        ({"Y": np.zeros((150, 2))}, r"Y has the shape \(150, 2\); expected \(samples, 3\)"),
        ({"X": "a.csv"}, "X is 'a.csv', which is no real number"),
        (
            {"parameters": {"W1": np.zeros((5, 5))}},
            r"parameters\['W1'\] has the shape \(5, 5\); expected a number, or 20",
        ),
        ({"parameters": {"W3": 1}}, "parameters names 'W3', which is no parameter; there are: "),
        ({"parameters": np.zeros(42)}, r"parameters has the shape \(42,\); expected \(43,\)"),
        ({"parameters": np.full(43, np.nan)}, r"parameters\[0\] is nan"),
        ({"learning_rate": 0}, "learning_rate must be a number above 0, not 0"),
        ({"learning_rate": -1.0}, "learning_rate must be a number above 0"),
        ({"learning_rate": np.nan}, "learning_rate must be a number above 0, not nan"),
        ({"learning_rate": "fast"}, "learning_rate must be a number above 0, not 'fast'"),
        ({"epochs": 0}, "epochs must be an integer from 1 to [0-9]+, not 0"),
        ({"epochs": 2.5}, "epochs must be an integer from 1 to [0-9]+, not 2.5"),
        ({"batch_size": 0}, "batch_size must be an integer from 1"),
        (
            {"optimizer": "sdg"},
            "there is no optimizer 'sdg'; there are: sgd, momentum, nesterov, adagrad, ",
        ),
        ({"optimizer": ["adam"]}, r"there is no optimizer \['adam'\]"),
        ({"nesterov": "no"}, "nesterov must be True or False, not 'no'"),
        ({"momentum": np.array([0.1, 0.2])}, "momentum must be a number from 0, below 1"),
        ({"learning_rate": 10**400}, "learning_rate must be a number above 0"),
        ({"optimizer": "adam", "epsilon": 0}, "epsilon must be a number above 0, not 0"),
        ({"optimizer": "adam", "beta_1": 1.0}, "beta_1 must be a number from 0, below 1, not 1.0"),
        ({"optimizer": "momentum", "momentum": -0.1}, "momentum must be a number from 0, below 1"),
        ({"update": "both"}, "there is no update 'both'; there are: simultaneous, sequential"),
        ({"tolerance": -1}, "tolerance must be a number from 0, not -1"),
        ({"seed": -1}, "seed must be an integer from 0"),
        ({"shuffle": "yes"}, "shuffle must be True, False or None"),
    ],
)
def test_bad_arguments(chain, arguments, message):
    """Each argument that cannot be meant is refused by name, with what was expected and where it is wrong."""
    with pytest.raises(ValueError, match=message):
        chain.train(**{"X": X, "Y": Y, "epochs": 1, **arguments})


def test_unknown_hyperparameter(chain):
    """A hyperparameter that an optimizer does not have is refused, with those that it has."""
    with pytest.raises(TypeError, match="'beta_1'; the optimizer sgd takes: learning_rate"):
        chain.train(X, Y, beta_1=0.9)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(149), r"sample_weight has the shape \(149,\); expected \(150,\)"),
        (np.where(np.arange(150) == 3, -1.0, 1.0), r"sample_weight\[3\] is -1.0"),
        (np.zeros(150), "sample_weight is 0 for every sample"),
        (np.full(150, np.inf), r"sample_weight\[0\] is inf"),
    ],
)
def test_bad_weights(chain, weight, message):
    """Weights must be finite, not below 0, and not all 0."""
    with pytest.raises(ValueError, match=message):
        chain.loss(chain.initial_parameters(), X, Y, sample_weight=weight)


def test_a_dictionary_is_no_point(chain):
    """What is computed at some parameters takes their array: a dictionary might lack some."""
    for function in (chain.predict, chain.loss, chain.loss_and_gradient):
        with pytest.raises(ValueError, match="parameters is a dictionary: give the flat array"):
            function(chain.unpack(chain.initial_parameters()), X)


def test_formulas_without_inputs_or_targets():
    """A formula without inputs is minimized as it stands; giving it data is an error."""
    a, b = sympy.symbols("a b")
    loss = (1 - a) ** 2 + 100 * (b - a**2) ** 2
    module = nn.build(nn.Model("rosenbrock", parameters={a: -1.2, b: 1.0}, loss=loss))
    assert module.loss([-1.2, 1.0]) == pytest.approx(24.2)
    result = module.train(optimizer="adam", learning_rate=0.01, epochs=20000)
    assert result.parameters == pytest.approx([1, 1], abs=1e-3)
    assert module.predict([1.0, 1.0])[0, 0] == 0
    with pytest.raises(ValueError, match="X was given, but the model has no inputs"):
        module.train([[1.0]])
    with pytest.raises(ValueError, match="Y was given, but the model has no targets"):
        module.loss([0.0, 0.0], Y=[1.0])


def test_several_outputs():
    """A tuple of outputs gives a column for each."""
    a, x, y = sympy.symbols("a x y")
    module = nn.build(nn.Model("outputs", [x], [y], {a: 2.0}, (a * x, sympy.sin(x), a), (a * x - y) ** 2))
    assert module.output_names == ("output1", "output2", "output3")
    assert module.predict([2.0], [0.5, 1.0]) == pytest.approx(np.array([[1, np.sin(0.5), 2], [2, np.sin(1), 2]]))


def test_float32():
    """Single precision agrees with double to its own, and refuses what it cannot hold."""
    layers = [nn.Dense(5, "tanh"), nn.Dense(3, "softmax")]
    model = nn.Sequential(layers, inputs=4, loss="categorical_crossentropy", name="chain32")
    single, double = nn.build(model, precision="float32"), nn.build(model)
    parameters = double.initial_parameters(seed=3)
    assert single.initial_parameters(seed=3).dtype == np.float32
    loss, gradient = single.loss_and_gradient(parameters, X, Y)
    expected, expected_gradient = double.loss_and_gradient(parameters, X, Y)
    assert loss == pytest.approx(expected, rel=1e-6)
    assert np.linalg.norm(gradient - expected_gradient) < 1e-6 * np.linalg.norm(expected_gradient)
    with pytest.raises(ValueError, match=r"X\[7, 2\] is 1e\+300, which is too large for float32"):
        single.predict(parameters, bad((7, 2), 1e300))


def test_values_that_vanish_in_single_precision():
    """A hyperparameter that is 0 in the module's precision is refused where 0 is; weights count by their ratios."""
    module = nn.build(nn.Sequential([nn.Dense(1, "relu")], 2, name="dead"), precision="float32")
    with pytest.raises(ValueError, match="epsilon must be a number above 0, not 1e-50, which is 0 in float32"):
        module.train([[1.0, 1.0]], [1.0], optimizer="adam", epsilon=1e-50)
    parameters = module.initial_parameters()
    expected = module.loss(parameters, [[1.0, 1.0], [2.0, 0.0]], [1.0, 2.0])
    for weight in (1e-60, 1e308):
        assert module.loss(parameters, [[1.0, 1.0], [2.0, 0.0]], [1.0, 2.0], [weight, weight]) == expected


def test_documentation(chain):
    """The module says what it is."""
    assert chain.__doc__.startswith("chain: 4 inputs, 3 outputs, 43 parameters, float64.")
    with pytest.raises(ValueError, match="seed must be an integer from 0"):
        chain.initial_parameters("a")


def test_sums_over_many_samples():
    """In single precision the mean over a million samples is right to 1e-6: sums are kept in double."""
    a, x = sympy.symbols("a x")
    module = nn.build(nn.Model("mean", [x], (), {a: 1.0}, a * x, a * x), precision="float32")
    data = RNG.uniform(size=1_000_000).astype(np.float32)
    loss, gradient = module.loss_and_gradient([1.0], data)
    assert loss == pytest.approx(data.astype(float).mean(), rel=1e-7)
    assert gradient[0] == pytest.approx(data.astype(float).mean(), rel=1e-6)


def test_diverged(perceptron):
    """A loss that is no longer finite ends the training with a warning and finite parameters."""
    a, x = sympy.symbols("a x")
    module = nn.build(nn.Model("quartic", [x], (), {a: 1.0}, a, (a * x) ** 4))
    with pytest.warns(RuntimeWarning, match=r"training diverged after \d+ epochs.*lower learning_rate"):
        result = module.train([[1.0], [2.0]], epochs=1000, learning_rate=10.0)
    assert result.status == "diverged"
    assert np.isfinite(result.parameters).all()
    assert result.epochs < 1000
    assert len(result.history) == result.epochs
    with pytest.warns(RuntimeWarning, match="after 0 epochs"):
        result = module.train([[1e300]], epochs=10)
    assert result.parameters == [1.0]


def test_same_bits(chain):
    """The same call gives the same bits twice; another seed gives others."""
    first, second, other = (chain.train(X, Y, epochs=5, batch_size=16, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first.parameters, second.parameters)
    assert np.array_equal(first.history, second.history)
    assert not np.array_equal(first.parameters, other.parameters)


def test_two_threads(chain):
    """Two threads may train with one module at the same time, without an influence on each other."""
    expected = [chain.train(X, Y, epochs=200, batch_size=8, seed=seed).parameters for seed in range(4)]
    trained = [None] * 4

    def work(seed):
        trained[seed] = chain.train(X, Y, epochs=200, batch_size=8, seed=seed).parameters

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(a, b) for a, b in zip(expected, trained, strict=True))


def test_short_calls_of_several_threads(chain, perceptron):
    """Short calls share memory between calls, never between threads: those of one module at once give the same bits."""
    parameters = [module.initial_parameters(3) for module in (chain, perceptron)]
    inputs = RNG.uniform(size=(9, 2))

    def work(rows):
        results = []
        for _ in range(50):
            results += [chain.predict(parameters[0], X[:rows]).tobytes(), chain.predict(parameters[0], X).tobytes()]
            results += [perceptron.predict(parameters[1], inputs[:rows]).tobytes()]
            results += [chain.train(X[:9], Y[:9], epochs=3, seed=rows).parameters.tobytes()]
        return results

    expected = [work(rows) for rows in range(1, 5)]
    together = threading.Barrier(4)
    with ThreadPoolExecutor(4, initializer=together.wait) as pool:
        assert list(pool.map(work, range(1, 5))) == expected


def test_the_lock_is_released(chain):
    """While a module trains, other Python threads run."""
    ticks = []
    done = threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(None)
            done.wait(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    before = len(ticks)
    chain.train(X, Y, epochs=20000)
    during = len(ticks) - before
    done.set()
    thread.join()
    assert during > 3


@pytest.mark.parametrize("epochs", ["10**15", "3"])
def test_interrupt(chain, epochs, tmp_path):
    """Ctrl-C ends the training with a KeyboardInterrupt that holds what was reached; also in one long epoch."""
    program = f"""
        import importlib.util, linecache, os, signal, sys, threading, time
        import numpy as np
        spec = importlib.util.spec_from_file_location("chain", {chain.__file__!r})
        chain = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(chain)
        rng = np.random.default_rng(0)
        samples = 100 if {epochs} > 3 else 10_000_000
        X, Y = np.ones((samples, 4)), np.ones((samples, 3))
        main = threading.get_ident()

        def line(frame):
            return linecache.getline(frame.f_code.co_filename, frame.f_lineno, frame.f_globals)

        def interrupt():
            frame = sys._current_frames()[main]
            while "training.advance" not in line(frame):  # not native yet
                time.sleep(0.01)
                frame = sys._current_frames()[main]
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        try:
            chain.train(X, Y, epochs={epochs}, learning_rate=1e-6)
        except KeyboardInterrupt as interrupt:
            result = interrupt.result
            assert result.status == "interrupted", result
            assert np.isfinite(result.parameters).all()
            assert len(result.history) == result.epochs
            assert result.epochs < {epochs}, result
            assert str(result.epochs) in str(interrupt)
            sys.exit(7)
        """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False, cwd=tmp_path, timeout=120)
    assert done.returncode == 7


def test_result_prints(perceptron):
    """A result says what happened."""
    result = perceptron.train([[0.35, 0.9]], [1], epochs=3)
    assert repr(result).startswith("<Result: completed after 3 epochs, loss 0.4")


def test_traceback_shows_the_interface(perceptron):
    """An error inside of the module has a readable traceback, though its Python part is no file."""
    import traceback

    with pytest.raises(ValueError, match="X is missing") as caught:
        perceptron.predict(perceptron.initial_parameters())
    text = "".join(traceback.format_exception(caught.value))
    assert "inputs, samples = check_inputs(model, X, sparse=True)" in text
