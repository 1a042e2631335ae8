"""The command line, as people use it."""

import os
import re
import subprocess
import sys
import textwrap

import pytest
from click.testing import CliRunner

import nncodegen as nn
from nncodegen import compile_model, perceptron
from nncodegen.cli.commands import command
from tests.support import ROOT
from tests.support.command import Commands

pytestmark = pytest.mark.usefixtures("quick_compiler")

MODELS = """
    import nncodegen as nn
    first = nn.Sequential([nn.Dense(2, "tanh"), nn.Dense(1)], inputs=3, name="first")
    second = nn.Sequential([nn.Dense(1)], inputs=3, name="second")
    """


@pytest.fixture
def run(tmp_path, commands):
    """Runs a command in an empty folder: run(*arguments) -> the finished process."""

    def call(*arguments):
        return commands.run(arguments, tmp_path, {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"})

    def write(name, text):
        (tmp_path / name).write_text(textwrap.dedent(text))

    call.write, call.folder = write, tmp_path
    return call


def alone(folder, *arguments):
    """Runs a command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    command = [sys.executable, "-m", "nncodegen", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_build_the_perceptron(run):
    """Without a model the perceptron is built, checked and trained, and the command says how to import it."""
    done = alone(run.folder, "build")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    stages = ["describe", "stabilize", "differentiate", "simplify", "schedule", "emit", "build", "check", "train"]
    assert [line.split()[0] for line in lines[:9]] == stages
    assert all(line.split()[2] == "ms" for line in lines[:9])
    written_out, simplified = compile_model(perceptron.model, until="simplify").findings.operations
    assert f"{written_out} before, {simplified} after" in lines[3]
    assert "output 0.649864477526 before, 0.999453185534 after 999 sequential iterations" in lines[8]
    assert lines[-1] == "use it with   from generated.perceptron import perceptron"
    program = "from generated.perceptron import perceptron; print(perceptron.parameter_count)"
    used = subprocess.run([sys.executable, "-c", program], cwd=run.folder, capture_output=True, text=True, check=True)
    assert used.stdout.strip() == "7"
    assert (run.folder / "generated" / "perceptron" / "stages" / "4-simplify.txt").exists()
    assert "from the cache" in run("build").stdout


def test_build_a_model(run):
    """A model of a file, chosen by name, with each of the options."""
    run.write("models.py", MODELS)
    done = run("build", "models.py:first", "--out", "there", "--name", "renamed", "--precision", "float32", "--dump")
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in (run.folder / "there").iterdir()} > {"renamed.c", "renamed_module.c", "stages"}
    assert done.stdout.splitlines()[-1] == "use it with   from there import renamed"
    program = "from there import renamed; print(renamed.precision, renamed.input_names)"
    used = subprocess.run([sys.executable, "-c", program], cwd=run.folder, capture_output=True, text=True, check=True)
    assert used.stdout.strip() == "float32 ('x[0]', 'x[1]', 'x[2]')"
    done = run("build", "models.py:second", "--quiet", "--force")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (run.folder / "generated" / "second" / "stages").exists()


def test_build_the_same_bits_everywhere(run):
    """--bits portable needs no further option, and gives the C of nn.build's; what it does not go with is told."""
    run.write("models.py", MODELS)
    done = run("build", "models.py:first", "--out", "there", "--bits", "portable", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    model = nn.Sequential([nn.Dense(2, "tanh"), nn.Dense(1)], inputs=3, name="first")
    expected = compile_model(model, bits="portable", until="emit").sources.files["first.c"]
    assert (run.folder / "there" / "first.c").read_text() == expected
    assert expected != compile_model(model, until="emit").sources.files["first.c"]
    for digits in ("fast", "best"):
        for words in (("build",), ("export", "--target", "sdist")):
            done = run(*words, "models.py:first", "--out", "refused", "--bits", "portable", "--digits", digits)
            assert done.returncode == 1
            assert f"bits=\"portable\" goes without digits='{digits}'" in done.stderr
    assert not (run.folder / "refused").exists()


def test_a_model_finds_its_neighbours(run):
    """A model file may import a file beside it, from whatever folder the command is run."""
    (run.folder / "below").mkdir()
    run.write("below/units.py", "UNITS = 3")
    run.write(
        "below/model.py", "import nncodegen as nn\nfrom units import UNITS\nm = nn.Sequential([nn.Dense(UNITS)], 2)"
    )
    assert run("show", "below/model.py").returncode == 0


def test_show(run):
    """The program before and after each stage."""
    run.write("models.py", MODELS)
    done = run("show", "models.py:first")
    assert done.returncode == 0
    for part in (
        "--- describe: ",
        "s1[n, j]  = sum(i) W1[j, i]*x[n, i]",
        "--- stabilize: ",
        "--- differentiate: ",
        "d_W1[j, i] = sum(n) d_z1[n, j]*x[n, i]",
        "--- simplify: ",
        "--- schedule: ",
    ):
        assert part in done.stdout
    assert "update  " not in done.stdout  # the rules of optimizers are shown where they are wanted
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_show_a_part(run):
    """One stage, in lines of a width; the C; update rules by name, and no others."""
    run.write("models.py", MODELS)
    done = run("show", "models.py:first", "--stage", "simplify", "--optimizers", "adam", "--width", "60")
    assert re.findall(r"^--- .*", done.stdout, re.MULTILINE) == [
        "--- simplify: in primitives of C, each value computed once ---",
        "--- update rules ---",
    ]
    assert re.findall(r"^update +(\w+)", done.stdout, re.MULTILINE) == ["adam"]
    assert max(map(len, done.stdout.splitlines())) <= 62
    code = run("show", "models.py:first", "--stage", "emit").stdout
    assert "static HOT void gradient_tile(" in code
    assert "--- emit: the C of the kernels ---" in code
    refused = run("show", "models.py:first", "--optimizers", "adam,foo")
    assert refused.returncode == 2
    assert "there is no 'foo'; there are: sgd, " in refused.stderr


HEADS = """
import nncodegen as nn
x, mask = nn.Input((3, 4), name="x"), nn.Input((3,), name="mask")
h = nn.MultiHeadAttention(2, 2, name="first")(x, use_causal_mask=True)
h = nn.MultiHeadAttention(1, 2, name="second")(h, attention_mask=mask)
m = nn.Network([x, mask], nn.Dense(1)(h))
"""


def test_show_heads(run):
    """A picture of each layer with attention: which places a query may look at."""
    run.write("heads.py", HEADS)
    done = run("show", "heads.py", "--stage", "describe")
    _, picture = done.stdout.split("--- who looks at whom ---\n\n")
    first, second = picture.rstrip("\n").split("\n\n")
    assert re.fullmatch(r"p_first\[n, \w+, (\w+), (\w+)\]: \1 looks at \2\n.*", first, re.DOTALL)
    assert [line.split()[1:] for line in first.splitlines()[2:]] == [["x", ".", "."], ["x", "x", "."], ["x", "x", "x"]]
    assert re.fullmatch(r"p_second\[n, \w+, (\w+), (\w+)\]: \1 looks at every \2 where mask\[n, \2\] = 1", second)


def test_show_in_colour(run, commands):
    """A terminal shows what is computed in another style; a file holds plain text."""
    run.write("models.py", MODELS)
    plain, coloured = (
        commands.run(["show", "models.py:first", "--stage", "describe"], run.folder, {**os.environ, **more})
        for more in ({}, {"FORCE_COLOR": "1", "COLUMNS": "100", "TERM": "xterm"})
    )
    assert "\x1b[" not in plain.stdout
    assert "\x1b[1ms1[n, j]\x1b" in coloured.stdout
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured.stdout) == plain.stdout


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (
            MODELS,
            ["build", "models.py"],
            "models.py defines several models; choose one: models.py:first, models.py:second",
        ),
        (MODELS, ["build", "models.py:third"], "models.py defines no model third; there are: first, second"),
        (MODELS, ["build", "missing.py"], "there is no file missing.py"),
        (MODELS, ["show", "models.py"], "choose one: models.py:first"),
        ("x = 1", ["build", "models.py"], "models.py defines no model: assign a nncodegen.Model"),
        ("\n\n1/0", ["build", "models.py"], "models.py, line 3: ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(3)", ["build", "models.py"], "models.py, line 1: SystemExit: 3"),
        ("x = (", ["build", "models.py"], "models.py, line 1: SyntaxError"),
        ("import nncodegen as nn\nm = nn.Sequential([], 2)", ["build", "models.py"], "network has no layers"),
        (MODELS, ["build", "models.py:first", "--out", "models.py"], "models.py is a file: name a folder"),
        (MODELS, ["build", "models.py:first", "--segment-length", "4"], "first has no use for segment_length"),
        (MODELS, ["build", "models.py:first", "--out", "."], "holds files that nncodegen did not write (models.py)"),
    ],
)
def test_wrong_input(run, text, arguments, message):
    """What is wrong with the input is said in one line, with exit code 1."""
    run.write("models.py", text)
    done = run(*arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["biuld"],
        ["build", "--presicion", "float32"],
        ["build", "--precision", "half"],
        ["build", "--name", ""],
        ["show", "a.py", "b.py"],
        ["build", "--out"],
    ],
)
def test_wrong_usage(run, arguments):
    """Wrong usage is told with exit code 2."""
    done = run(*arguments)
    assert done.returncode == 2
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["build", "--help"], ["show", "-h"], ["--version"]])
def test_help(run, arguments):
    """Help is everywhere."""
    done = run(*arguments)
    assert done.returncode == 0
    assert done.stdout


# --- tables ------------------------------------------------------------------------------------------------------


@pytest.fixture
def wine(run):
    """A table of 40 rows beside the command."""
    pytest.importorskip("pandas")
    rows = [f"{k / 10},{'red' if k % 2 else 'white'},{'' if k == 7 else k % 5},{k * k}" for k in range(40)]
    run.write("wine.csv", "\n".join(["sugar,colour,stars,price", *rows]))
    return run


def test_fit_and_predict(wine):
    """A table is learned from, what was understood is told, and the folder predicts, to the output and to a file."""
    done = wine("fit", "wine.csv", "--target", "colour", "--layers", "3", "--epochs", "4")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "read          wine.csv: 40 rows, 4 columns"
    assert lines[1] == "task          classification: colour is one of 2 classes: red, white"
    assert "stars  number, mean" in done.stdout
    assert "missing in 1 of 40 rows" in done.stdout
    assert "accuracy" in done.stdout
    assert "always " in done.stdout
    assert lines[-1] == "predict with  python -m nncodegen predict wine_model DATA.csv"
    assert "\ntried         2 candidates in " in done.stdout
    assert re.search(
        r"^              3 relu, l2 \S+, learning rate \S+ +4 +\d\.\d{4} ± \d\.\d{4}( +[01]\.\d\d)?$",
        done.stdout,
        re.MULTILINE,
    )
    assert re.search(r"^chosen        .* networks in all", done.stdout, re.MULTILINE)
    assert re.search(
        r"^by class +precision  recall  F1      rows\n +red  +\S+ +\S+ +\S+ +4\n", done.stdout, re.MULTILINE
    )
    assert re.search(
        r"^confusion     is, predicted as    red  white\n +red( +\d){2}\n +white( +\d){2}\n", done.stdout, re.MULTILINE
    )
    done = wine("predict", "wine_model", "wine.csv")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 41
    assert done.stdout.startswith("colour,probability of red,probability of white\n")
    assert wine("predict", "wine_model", "wine.csv", "--out", "found.csv").returncode == 0
    assert (wine.folder / "found.csv").read_text() == done.stdout
    done = wine("predict", "wine_model", "wine.csv", "--out", "found.csv")
    assert (done.returncode, "found.csv exists already" in done.stderr) == (1, True)
    options = [
        "--layers",
        "",
        "--drop",
        "colour",
        "--category",
        "stars",
        "--out",
        "wine_model",
        "--overwrite",
        "--quiet",
    ]
    done = wine("fit", "wine.csv", "--target", "price", "--loss", "abs(output - target)", *options)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert wine("predict", "wine_model", "wine.csv").stdout.startswith("price\n")


def test_no_better_than_the_baseline(wine):
    """A model that is no better than the most frequent class is said to be so, before its metrics; also when quiet."""
    rows = [f"{(k * 7919) % 101},{'no' if (k * k) % 7 else 'yes'}" for k in range(60)]
    wine.write("noise.csv", "\n".join(["a,b", *rows]))
    done = wine("fit", "noise.csv", "--target", "b", "--layers", "")
    assert done.returncode == 0, done.stderr
    lines = [line[:14].strip() for line in done.stdout.splitlines()]
    assert lines.index("NO BETTER") < lines.index("tried") < lines.index("held out")
    assert "accuracy 0.8" in done.stdout
    again = wine("fit", "noise.csv", "--target", "b", "--layers", "", "--quiet")
    assert again.returncode == 1
    assert "noise_model holds a model already, which is not overwritten: name another folder with --out, or give" in (
        again.stderr
    )
    quiet = wine("fit", "noise.csv", "--target", "b", "--layers", "", "--quiet", "--overwrite")
    assert (quiet.returncode, quiet.stdout) == (0, "")
    assert quiet.stderr.startswith("NO BETTER     than without a model, on the 12 rows held out: accuracy")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "none.csv", "--target", "a"], "there is no file none.csv"),
        (["fit", "wine.csv", "--target", "taste"], "wine.csv has no column 'taste', the target; it has: 'sugar'"),
        (["fit", "wine.csv", "--target", "colour", "--task", "regression"], "wine.csv, line 2, column colour: 'white'"),
        (["fit", "wine.csv", "--target", "price", "--loss", "mes"], "there is no loss 'mes'"),
        (
            ["fit", "wine.csv", "--target", "price", "--out", "."],
            ". holds files that nncodegen did not write (wine.csv)",
        ),
        (["predict", "wine_model", "wine.csv"], "wine_model holds no model"),
        (["fit", "wine.csv", "--target", "colour", "--class-weight", "blue=2"], "there is no class 'blue' of colour"),
        (["fit", "wine.csv", "--target", "price", "--class-weight", "balanced"], "class_weight is for classes, but"),
    ],
)
def test_wrong_tables(wine, arguments, message):
    """What is wrong with a table, a folder or a choice is said in one line, with exit code 1."""
    done = wine(*arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["fit", "wine.csv"], ["predict", "wine_model"], ["compare", "--seeds", "1"]])
def test_wrong_usage_of_tables(run, arguments):
    """Wrong usage is told with exit code 2."""
    done = run(*arguments)
    assert done.returncode == 2
    assert "Error: " in done.stderr


@pytest.mark.parametrize(
    "option",
    [
        "--layers 3,x",
        "--layers 100000000000",
        f"--layers {'9' * 5000}",
        "--layers=-1",
        f"--layers {','.join('3' * 21)}",
        "--learning-rate nan",
        "--learning-rate inf",
        "--learning-rate 0",
        f"--seed {2**64}",
        "--seed=-1",
        f"--epochs {2**63}",
        "--epochs 0",
        "--l2 nan",
        "--l2=-1",
        "--dropout 1",
        "--dropout nan",
        "--time-limit 0",
        "--time-limit inf",
        "--class-weight red",
        "--class-weight red=nan",
        "--class-weight red=-1",
        f"--threads {2**63}",
    ],
    ids=lambda option: option[:30],
)
def test_numbers_that_cannot_be_meant(option):
    """A number out of all bounds, or none at all, is wrong usage, told with the name of the option."""
    done = CliRunner().invoke(command, ["fit", "wine.csv", "--target", "a", *option.split()])
    assert done.exit_code == 2, done.output
    assert f"Invalid value for '{option.replace('=', ' ').split()[0]}'" in done.output


def test_compare(run):
    """The comparison prints a row for each data set, with scores and times of both."""
    pytest.importorskip("sklearn")
    done = run("compare", "iris", "diabetes", "--seeds", "2", "--max-iter", "3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| iris, accuracy", "| diabetes, R2"]
    assert all(line.count("±") == 2 and line.count(" s |") == 2 for line in lines[2:])
    done = run("compare", "roses")
    assert (done.returncode, "there is no data set 'roses'; there are: iris" in done.stderr) == (1, True)


@pytest.mark.thorough
def test_compare_tables(run):
    """The comparison of tables prints a row for each, in the order of the names, and then the means."""
    pytest.importorskip("sklearn")
    pytest.importorskip("pandas")
    done = alone(run.folder, "compare", "--tables", "--seeds", "2", "wine", "iris")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    titles = ["| wine, accuracy", "| iris, accuracy", "| mean of the others", "| mean of all"]
    assert [line.split(" | ")[0] for line in lines[2:]] == titles
    assert all(line.count(" | ") == lines[0].count(" | ") == 8 for line in lines)
    done = alone(run.folder, "compare", "--tables", "roses")
    assert (done.returncode, "there is no table 'roses'; there are: Hitters" in done.stderr) == (1, True)


# --- what surrounds the command ----------------------------------------------------------------------------------


def test_a_failing_file_shows_where(run):
    """Below the message stand the lines of the user's file and its neighbours that led to the error, none of ours."""
    run.write("units.py", "def units(n):\n    return 1/n")
    run.write("model.py", "from units import units\ndef f(n):\n    return units(n)\nf(0)")
    lines = run("build", "model.py").stderr.splitlines()
    assert lines[0] == "error: model.py, line 3: ZeroDivisionError: division by zero"
    shown = [line.strip() for line in lines if line.strip().startswith("File ")]
    assert shown == [
        f'File "{run.folder / file}", line {number}, in {name}'
        for file, number, name in (("model.py", 4, "<module>"), ("model.py", 3, "f"), ("units.py", 2, "units"))
    ]
    run.write("model.py", "import nncodegen as nn\n\nm = nn.Sequential([], 2)")
    lines = run("show", "model.py").stderr.splitlines()
    assert lines[0] == "error: network has no layers: give at least one, such as Dense(1)"
    assert lines[1:3] == [f'  File "{run.folder / "model.py"}", line 3, in <module>', "    m = nn.Sequential([], 2)"]
    run.write("model.py", "x = (")
    assert run("show", "model.py").stderr.splitlines()[2] == "    x = ("


def test_a_file_shadows_no_module(run):
    """A file may have the name of any module, and so may its neighbours: neither is taken for that."""
    for name in ("queue", "wave", "imaplib"):
        run.write(f"{name}.py", "import nncodegen as nn\nm = nn.Sequential([nn.Dense(1)], 2)")
    run.write(
        "model.py",
        """
        import queue, sys, wave
        import nncodegen as nn
        assert queue.SimpleQueue and wave.open
        m = nn.Sequential([nn.Dense(1)], 2)
        """,
    )
    (run.folder / "elsewhere").mkdir()
    program = f"""
        import sys
        from nncodegen.cli.commands import load_model
        sys.modules.pop("wave", None)
        for name in ("queue", "model", "imaplib"):
            load_model({str(run.folder)!r} + f"/{{name}}.py")
        import imaplib, queue
        assert queue.SimpleQueue and imaplib.IMAP4
        assert "model" not in sys.modules
        """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", textwrap.dedent(program)]
    subprocess.run(command, check=True, env=environment, cwd=run.folder / "elsewhere")


@pytest.mark.parametrize(
    "arguments",
    [
        ["show"],
        pytest.param(["build"], marks=pytest.mark.thorough),
        pytest.param(["--help"], marks=pytest.mark.thorough),
    ],
)
def test_a_full_output(run, arguments):
    """A standard output that is full is told in one line, with exit code 1; one that nobody reads ends it quietly."""
    command = [sys.executable, "-m", "nncodegen", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, cwd=run.folder, env=environment, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert done.stderr.decode() == "error: cannot write to the standard output: the disk is full\n"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, cwd=run.folder, env=environment, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_what_the_system_refuses(run):
    """What cannot be read or written is named, with exit code 1."""
    run.write("models.py", MODELS)
    run.write("file", "")
    for arguments, message in (
        (["build", "models.py:first", "--out", "file/below"], "cannot write to file/below: Not a directory"),
        (["build", "models.py:first", "--name", "m\udcff"], "has a character that cannot be written to a file"),
        (["build", "models.py:first", "--out", "o" * 300], "File name too long"),
    ):
        done = run(*arguments)
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_help_names_all_workloads(run):
    """The help of bench names every workload."""
    from nncodegen.bench.workloads import WORKLOADS

    assert ", ".join(WORKLOADS) in " ".join(run("bench", "--help").stdout.split())


@pytest.mark.parametrize(
    ("out", "name"), [("test", "first"), ("models", "first"), (".", "first"), ("{folder}/class", "first")]
)
def test_how_to_import(run, commands, out, name):
    """The statement that build prints imports the module, whatever other modules have the names of its folders."""
    (run.folder / "models").mkdir()
    run.write("models/models.py", MODELS)
    if out == "models":  # a file of the same name as the folder
        run.write("models.py", "")
        (run.folder / "models" / "models.py").rename(run.folder / "m.py")
        (run.folder / "models").rmdir()
    source = "m.py" if out == "models" else "models/models.py"
    folder = run.folder
    if out == ".":
        folder = run.folder / "empty"
        folder.mkdir()
        source = f"../{source}"
    arguments = ["build", f"{source}:first", "--name", name, "--out", out.format(folder=run.folder)]
    done = commands.run(arguments, folder, {**os.environ, "PYTHONPATH": str(ROOT)})
    assert (done.returncode, done.stderr) == (0, "")
    statement = done.stdout.splitlines()[-1].removeprefix("use it with").strip()
    program = f"{statement}; print({name}.input_names)"
    used = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    assert used.stdout.strip() == "('x[0]', 'x[1]', 'x[2]')"


@pytest.fixture(scope="module")
def plain_commands(tmp_path_factory):
    """What runs the command line, with no package imported that a command may do without."""
    commands = Commands(tmp_path_factory.mktemp("plain"))
    yield commands
    commands.close()


@pytest.mark.parametrize(
    ("package", "arguments", "what", "extra"),
    [
        ("sklearn", "compare iris", "nncodegen.estimators needs scikit-learn", "sklearn"),
        ("sklearn", "compare --tables iris", "compare --tables needs scikit-learn", "compare"),
        ("pandas", "predict folder rows.csv", "nncodegen.table needs pandas", "table"),
        ("pandas", "fit rows.csv --target y", "nncodegen.table needs pandas", "table"),
        ("pandas", "curve rows.csv y=a*x", "nncodegen.table needs pandas", "table"),
        ("pandas", "export --target c .", "nncodegen.table needs pandas", "table"),
        ("pandas", "compare --tables iris", "nncodegen.table needs pandas", "table"),
        ("matplotlib", "bench --plot chart.svg curve", "--plot needs matplotlib", "bench"),
        (
            "sklearn.datasets",
            "bench --quick --precision float64 --peers nncodegen digits",
            " needs scikit-learn",
            "bench",
        ),
        ("latex2mathml", "report models.py:first", "a report needs latex2mathml", "report"),
        ("onnx", "export --target onnx --out out models.py:first", "the destination onnx needs onnx", "onnx"),
        (
            "ziglang",
            "export --target wheel --cross aarch64-linux-gnu --out out models.py:first",
            "compiling for aarch64-linux-gnu needs ziglang",
            "compiler",
        ),
    ],
)
def test_missing_packages_of_commands(run, plain_commands, package, arguments, what, extra):
    """A command that takes a package that is not installed says so in the one wording, and how to install it."""
    for each in ("pandas", "sklearn", "wheel"):
        pytest.importorskip(each)
    run.write("models.py", MODELS)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = plain_commands.run(arguments.split(), run.folder, environment, without=package)
    assert done.returncode == 1
    message = f"{what}, which is not installed: python -m pip install 'nncodegen[{extra}]'\n"
    assert done.stderr.startswith("error: ")
    assert done.stderr.endswith(message)
