"""The command line: ``python -m nncodegen build``, and the other commands that ``--help`` lists."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import keyword
import math
import os
import sys
import time
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import click
from rich.console import Console

from nncodegen import __version__, perceptron
from nncodegen.cli.flags import FIT_FLAGS, with_flags
from nncodegen.cli.user_file import run_file
from nncodegen.compiler.building.build import load, load_variant
from nncodegen.compiler.building.compiler import TARGETS
from nncodegen.compiler.building.files import reason_of
from nncodegen.compiler.check import Check, check_gradient
from nncodegen.compiler.describe import PRECISIONS, Describable
from nncodegen.compiler.describe.describable import Named
from nncodegen.compiler.emit import identifier
from nncodegen.compiler.escape import printable
from nncodegen.compiler.ir import Program
from nncodegen.compiler.ir.program import BITS, DEFAULT, DIGITS, NATIVE
from nncodegen.compiler.limits import MOST_EPOCHS
from nncodegen.compiler.pipeline import Compiled, Stage, check_out, compile_model, write_out
from nncodegen.compiler.schedule import Schedule
from nncodegen.compiler.show import ABOUT, THEME, Formulas, shown
from nncodegen.errors import CertificateError, ModelError, NncodegenError
from nncodegen.formats.export import export as write_export
from nncodegen.formats.export.command import DESTINATIONS
from nncodegen.formats.export.options import OPTIONS
from nncodegen.runtime.module import Module
from nncodegen.runtime.python.ground.certificate import Certificate, file_of
from nncodegen.table import import_pandas
from nncodegen.table.settings import OPTIONS as SETTINGS
from nncodegen.table.settings import Settings


class _Bench(click.Command):
    """The command ``bench``. Its help names the workloads, whose import takes half a second."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help, with the names of the workloads."""
        from nncodegen.bench.workloads import WORKLOADS  # noqa: PLC0415

        self.help = (self.help or "").replace("@WORKLOADS@", ", ".join(WORKLOADS))
        super().format_help_text(ctx, formatter)


RENAMED = (
    "0.3.0",
    {
        "--start": "--p0",
        "--starts": "--n-starts",
        "--robust": "--loss",
        "--robust-scale": "--f-scale",
    },
)
"""The version in which old names of options of ``curve`` go, and the present names."""


class _Curve(click.Command):
    """The command ``curve``, which accepts old names of options, with a warning."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, with old names of options replaced."""
        present = []
        version, names = RENAMED
        for text in args:
            option, equals, value = text.partition("=")
            if option in names:
                _tell(f"warning: {option} is named {names[option]} now: the old name goes in version {version}")
                option = names[option]
            present.append(f"{option}{equals}{value}")
        return super().parse_args(ctx, present)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def command() -> None:
    """Compile neural networks, from formulas or layers to modules that train natively."""


@command.command()
@click.argument("model", required=False, metavar="[MODEL.py[:NAME]]")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write to.  [default: generated/NAME]")
@click.option("--name", help="Name of the module, instead of the model's own.")
@click.option("--precision", type=click.Choice(PRECISIONS), default="float64", show_default=True)
@click.option("--dump", is_flag=True, help="Also write the text of every stage to stages/.")
@click.option(
    "--march",
    type=click.Choice(tuple(TARGETS)),
    default="native",
    show_default=True,
    help="For this CPU, or for all CPUs of its family: the module then holds several variants.",
)
@click.option(
    "--segment-length",
    type=click.IntRange(1),
    metavar="STEPS",
    help="For long sequences: training keeps the states of recurrent layers once every STEPS steps, and "
    "computes the steps between again. Less memory, more time.",
)
@with_flags({"digits": OPTIONS["digits"]})
@click.option(
    "--bits",
    type=click.Choice(BITS),
    default=NATIVE,
    show_default=True,
    help="Whether the bits of results may depend on the CPU and the compiler, or not.",
)
@click.option("--force", is_flag=True, help="Compile even if the cache has the module.")
@click.option(
    "--certify", is_flag=True, help="Compare all results with exact ones: writes NAME.certificate.json as well."
)
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def build(
    model: str | None,
    out: Path | None,
    name: str | None,
    precision: str,
    dump: bool,
    march: str,
    segment_length: int | None,
    digits: str | None,
    bits: str,
    force: bool,
    certify: bool,
    quiet: bool,
) -> None:
    """Compile the model of a Python file.

    Without one, the perceptron that nncodegen ships is built with the text of its stages, checked and trained.
    """
    console = Console(quiet=quiet, highlight=False, soft_wrap=True, emoji=False)
    chosen: Describable = perceptron.model if model is None else load_model(model)
    if name is not None:
        if not name:
            raise click.BadParameter("a module needs a name", param_hint="--name")
        chosen = Named(chosen, name)
    folder = out or Path("generated") / identifier(chosen.name)
    check_out(folder, chosen)  # before the work, not after it
    options = {"digits": digits, "segment_length": segment_length}
    choices: dict[str, object] = {name: choice for name, choice in options.items() if choice is not None}
    is_perceptron = model is None
    with _working(console, "compiling"):
        compiled = compile_model(
            chosen,
            precision,
            force,
            lambda stage: _report(console, stage),
            choices=choices,
            march=march,
            bits=bits,
            dump=dump or is_perceptron,
        )
    module = load(compiled.built)
    start = time.perf_counter()
    data = (perceptron.X, perceptron.Y) if is_perceptron else (None, None)
    for variant in module.variants:  # a module for this CPU has only one
        variant_module = module if variant == module.variant else load_variant(compiled.built, variant)
        check = check_gradient(variant_module, compiled["describe"], compiled["differentiate"], *data)
        outcome = _found(check) if len(module.variants) == 1 else f"{variant}: {_found(check)}"
        _line(console, "check", time.perf_counter() - start, outcome)
        start = time.perf_counter()
    certificate = _certified(console, compiled, chosen, march) if certify else None
    path = write_out(
        compiled, folder, dump or is_perceptron, [] if certificate is None else [file_of(compiled.built.path)]
    )
    if is_perceptron:
        _train_perceptron(console, module)
    console.print(f"\nwritten to {path}\nuse it with   {_how_to_import(path, compiled.sources.module)}", markup=False)
    if certificate is not None:
        console.print(f"\n{certificate}", markup=False)
        _check_certificate(certificate)


@command.command()
@click.argument("module", type=click.Path(path_type=Path), metavar="MODULE")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def verify(module: Path, quiet: bool) -> None:
    """Examine a module again, and compare its errors with the bounds of its certificate.

    MODULE is the file of a module that was built with --certify, or the folder where it stands, with its certificate.
    The exit code is 1 where an error is beyond its bound.
    """
    from nncodegen.certificates import verify as examine_again  # noqa: PLC0415 (80 ms that builds save)

    certificate = examine_again(module)
    if not quiet:
        click.echo(printable(str(certificate), lines=True))
    _check_certificate(certificate)


@command.command()
@click.argument("model", required=False, metavar="[MODEL.py[:NAME]]")
@click.option("--precision", type=click.Choice(PRECISIONS), default="float64", show_default=True)
@click.option(
    "--stage",
    "stages",
    multiple=True,
    type=click.Choice(tuple(ABOUT)),
    help="Only this stage; may be repeated. The last is the C.  [default: all others]",
)
@click.option("--optimizers", default="", metavar="NAME,...", help="The update rules of these as well, or of all.")
@click.option(
    "--digits",
    type=click.Choice(DIGITS),
    default=DEFAULT,
    show_default=True,
    help="What a form of a formula may cost that keeps more digits.",
)
@click.option("--fits", is_flag=True, help="The programs for fits and for the Hessian as well.")
@click.option("--width", type=click.IntRange(40), help="[default: that of the terminal, or 120]")
def show(
    model: str | None,
    precision: str,
    stages: tuple[str, ...],
    optimizers: str,
    digits: str,
    fits: bool,
    width: int | None,
) -> None:
    """Print the program of a model after every stage; without a model, of the perceptron."""
    chosen = perceptron.model if model is None else load_model(model)
    until = "emit" if "emit" in stages else "schedule"
    compiled = compile_model(chosen, precision, until=until, choices={"digits": digits})
    known = [update.name for update in compiled["simplify"].updates]
    rules = known if optimizers == "all" else [name.strip() for name in optimizers.split(",") if name.strip()]
    for name in rules:
        if name not in known:
            raise click.BadParameter(f"there is no {name!r}; there are: {', '.join(known)}", param_hint="--optimizers")
    console = Console(highlighter=Formulas(), theme=THEME, soft_wrap=True)
    columns = width or (console.width if console.is_terminal else 120)
    text = shown(compiled.stages, stages or tuple(ABOUT)[:-1], rules, fits, columns)
    if console.is_terminal:
        console.print(text, markup=False, end="")
    else:
        click.echo(text, nl=False)


@command.command(cls=_Bench)
@click.argument("workloads", nargs=-1, metavar="[WORKLOAD ...]")
@click.option("--peers", multiple=True, metavar="NAME,...", help="The peers to measure, or none.  [default: all]")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="The number of cores for each.")
@click.option("--precision", type=click.Choice(PRECISIONS), multiple=True, help="[default: those of the workload]")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all results to this file.")
@click.option(
    "--plot", "plot_file", type=click.Path(path_type=Path), help="Draw a chart to this file (.png, .svg, .pdf)."
)
@click.option("--quick", is_flag=True, help="Small tasks and short runs, for a first look. Do not quote these figures.")
def bench(
    workloads: tuple[str, ...],
    peers: tuple[str, ...],
    threads: int,
    precision: tuple[str, ...],
    json_file: Path | None,
    plot_file: Path | None,
    quick: bool,
) -> None:
    """Measure nncodegen against its peers, on the same arithmetic.

    Workloads: @WORKLOADS@; all by default.
    Results are compared before any time is printed. Peers that are not installed are named;
    pip install 'nncodegen[bench]' installs them.
    """
    from nncodegen.bench import command as benchmarks  # noqa: PLC0415 (half a second that no other command needs)

    benchmarks.bench(workloads, peers, threads, precision, json_file, plot_file, quick)


def _class_weight(ctx: Any, param: Any, values: tuple[str, ...]) -> str | dict[str, float] | None:
    """Return the weights of classes: "balanced", a mapping from NAME=WEIGHT options, or None without any."""
    if not values:
        return None
    if values == ("balanced",):
        return "balanced"
    weights = {}
    for value in values:
        name, _, weight = value.rpartition("=")
        try:
            weights[name] = float(weight)
        except ValueError:
            weights[name] = math.nan
        if not name or not 0 <= weights[name] < math.inf:
            raise click.BadParameter(
                f"{value!r} is neither balanced (which stands alone) nor NAME=WEIGHT, such as yes=2.5"
            )
    return weights


def _of_file(function: Any) -> Any:
    """Add the options that say how the file of a table is read."""
    sheet = click.option("--sheet", metavar="NAME", help="The sheet of an Excel file that has several.")
    encoding = click.option(
        "--encoding", metavar="NAME", help="That of a CSV file, such as cp1252 or utf-16.  [default: utf-8]"
    )
    return encoding(sheet(function))


@command.command()
@click.argument("data", type=click.Path(path_type=Path), metavar="DATA.csv")
@click.option("--target", required=True, help="The column to predict.")
@click.option(
    "--task",
    type=click.Choice(["classification", "regression"]),
    help="Overrides the guess from the values of the target.",
)
@with_flags({name: option for name, option in SETTINGS.items() if name != "class_weight"})
@click.option(
    SETTINGS["class_weight"].flag("class_weight"),
    multiple=True,
    callback=_class_weight,
    metavar=SETTINGS["class_weight"].metavar,
    help=SETTINGS["class_weight"].help,
)
@click.option("--category", multiple=True, help="A column of numbers that stand for categories. May be repeated.")
@click.option("--drop", multiple=True, help="A column to leave out. May be repeated.")
@click.option("--keep", multiple=True, help="A column to use, though it identifies rows. May be repeated.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write to.  [default: DATA_model]")
@click.option("--overwrite", is_flag=True, help="Replace a model that is in the folder.")
@_of_file
@click.option(
    "--quiet", is_flag=True, help="Print only errors, and a warning if the model is no better than the baseline."
)
def fit(
    data: Path,
    target: str,
    task: str | None,
    category: tuple[str, ...],
    drop: tuple[str, ...],
    keep: tuple[str, ...],
    out: Path | None,
    overwrite: bool,
    encoding: str | None,
    sheet: str | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Learn to predict one column of a table from the others.

    The table is a CSV file with a header (or .csv.gz), a Parquet file, or a sheet of an Excel file (.xlsx). Linear
    models and networks with one and two hidden layers are compared by cross-validation, and the best are averaged;
    options restrict what is tried. A fifth of the rows is held out to measure the result; then the same learns again
    from all rows. The networks, their parameters and the meaning of the columns are written to a folder of plain files,
    for `python -m nncodegen predict`; a model that is there already is not overwritten without --overwrite.
    """
    import_pandas()
    from nncodegen.table.command import run_fit  # noqa: PLC0415 (pandas is optional)

    run_fit(data, target, task, category, drop, keep, Settings(**options), out, quiet, overwrite, encoding, sheet)


@command.command()
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL")
@click.argument("data", type=click.Path(path_type=Path), metavar="DATA.csv")
@click.option("--out", type=click.Path(path_type=Path), help="File to write to.  [default: the standard output]")
@click.option(
    "--unknown",
    type=click.Choice(["error", "ignore"]),
    default="error",
    show_default=True,
    help="What to do about a category, or a text among numbers, that did not occur in training.",
)
@_of_file
def predict(model: Path, data: Path, out: Path | None, unknown: str, encoding: str | None, sheet: str | None) -> None:
    """Predict with a model that `fit` has written.

    MODEL is its folder. The output is CSV, with one row for each row of the table; for classes, each prediction is
    followed by the probabilities of all classes.
    """
    import_pandas()
    from nncodegen.table.command import run_predict  # noqa: PLC0415 (pandas is optional)

    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _tell(f"warning: {printable(message)}")
        run_predict(model, data, out, unknown, encoding, sheet)


@command.command()
@click.option("--tables", is_flag=True, help="Compare `fit` on tables, instead of the estimators.")
@click.option(
    "--seeds", type=click.IntRange(2, 10_000), help="The number of splits of each.  [default: 10; with --tables: 5]"
)
@click.option(
    "--max-iter",
    type=click.IntRange(1, MOST_EPOCHS),
    default=200,
    show_default=True,
    help="The largest number of epochs of the estimators.",
)
@click.option("--skrub", is_flag=True, help="With --tables: skrub encodes the columns for the other models.")
@click.argument("names", nargs=-1, metavar="[DATASET]...")
def compare(names: tuple[str, ...], tables: bool, seeds: int | None, max_iter: int, skrub: bool) -> None:
    """Compare the estimators with scikit-learn's MLPClassifier and MLPRegressor.

    Both learn iris, wine, breast_cancer, digits and diabetes (or the named ones) with the same parameters and the same
    splits. The table shows the mean score with its standard error, and the time of a fit.

    With --tables, `fit` learns from fifty tables (or the named ones), beside logistic or ridge regression and
    scikit-learn's gradient boosting, all with the same encoding and one thread; as many tables as there are cores are
    compared at once. With --skrub, the others have skrub's encoding instead. Eight more tables have a column of texts,
    and are compared where they are named: Journals, cpu, Auto_names, blizzard, fastfood, GrinnellHouses, passengers,
    epa2021. pip install 'nncodegen[compare]' installs what this needs.
    """
    if tables:
        import_pandas()
        from nncodegen.table.compare import SPLITS, run as run_tables  # noqa: I001, PLC0415 (scikit-learn is optional)

        run_tables(names, seeds or SPLITS, skrub)
        return
    if skrub:
        raise click.BadParameter("it goes with --tables", param_hint="--skrub")
    from nncodegen.estimators.compare import run  # noqa: PLC0415

    run(names, seeds or 10, max_iter)


@command.command(cls=_Curve)
@click.argument("data", type=click.Path(path_type=Path), metavar="DATA.csv")
@click.argument("equation", metavar='["y = a*exp(-b*x) + c" | "y ~ gaussian + line"]', required=False)
@click.option(
    "--models", metavar='"CURVE, FORMULA, ..."', help="Compare curves by name and formulas, in place of an equation."
)
@click.option(
    "--p0",
    default="",
    metavar="NAME=VALUE,...|auto",
    help="Where to start, or auto: found from the data.  [default: 1, or within the bounds]",
)
@click.option("--bounds", default="", metavar="NAME=LOW:HIGH,...", help="Bounds; one of them may be left out: a=0:")
@click.option("--tie", multiple=True, metavar='"b = 2*a"', help="A parameter that is a formula of others.")
@click.option("--derived", multiple=True, metavar='"t = log(2)/k"', help="A formula of parameters to evaluate.")
@click.option("--sigma", metavar="COLUMN", help="The column of the standard deviations of the data.")
@click.option(
    "--sigma-x",
    default="",
    metavar="COLUMN|x=COLUMN,...",
    help="Columns of the standard deviations of x, or of each of several columns.",
)
@click.option("--by", default="", metavar="COLUMN,...", help="Columns whose values make groups, with a fit for each.")
@click.option("--shared", default="", metavar="NAME,...", help="With --by: parameters that all groups have in common.")
@click.option(
    "--n-starts", type=click.IntRange(1), help="Starting points within the bounds, of which the best is kept."
)
@with_flags(FIT_FLAGS)
@click.option("--out", type=click.Path(path_type=Path), help="File for the parameters, as CSV.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    help="File for a picture (.png, .svg, .pdf); with --by, a grid of the groups.",
)
@click.option(
    "--profiles",
    is_flag=True,
    help="Print what the data say of each parameter; with --plot, draw it to NAME-profiles, beside.",
)
@click.option(
    "--dask",
    is_flag=False,
    flag_value="local",
    metavar="[ADDRESS]",
    help="Spread the groups of Parquet files over Dask's workers.",
)
@_of_file
def curve(
    data: Path,
    equation: str | None,
    models: str | None,
    p0: str,
    bounds: str,
    tie: tuple[str, ...],
    derived: tuple[str, ...],
    sigma: str | None,
    sigma_x: str,
    by: str,
    shared: str,
    n_starts: int | None,
    out: Path | None,
    plot: Path | None,
    profiles: bool,
    dask: str | None,
    encoding: str | None,
    sheet: str | None,
    **options: Any,
) -> None:
    """Fit a formula to the columns of a table, by least squares.

    The names in the formula that are columns are data, all others are parameters. After ~ there are curves by name,
    which need no start. "u' = -k*u" is a differential equation, fitted to a column over time. With --models, several
    are compared by Akaike's criterion for few data (AICc), and by likelihood ratios where one contains another. The
    table of their values and standard errors is printed; with --by, there is one fit for each group of rows, and a
    table with a row for each; with --shared, it is one fit of all groups, which have these parameters in common.
    """
    import_pandas()
    from nncodegen.table.curves.command import run_curve  # noqa: PLC0415 (pandas is optional)
    from nncodegen.table.curves.options import (  # noqa: PLC0415
        read_bounds,
        read_formulas,
        read_names,
        read_sigma_x,
        read_starts,
    )
    from nncodegen.table.curves.settings import FitSettings  # noqa: PLC0415

    settings = FitSettings(
        read_starts(p0),
        read_bounds(bounds),
        n_starts,
        options,
        read_formulas(tie, "--tie"),
        read_formulas(derived, "--derived"),
        read_names(shared),
        read_sigma_x(sigma_x),
    )
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _tell(f"warning: {printable(message)}")
        try:
            run_curve(
                data, equation, sigma, read_names(by), settings, out, plot, dask, models, encoding, sheet, profiles
            )
        except ValueError as error:  # the module does not accept the formula or the data
            raise ModelError(str(error)) from error


@command.command()
@click.argument("model", required=False, metavar="[MODEL.py[:NAME]]")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Samples: a CSV file, inputs first, or an .npz archive with X and Y.",
)
@click.option(
    "--parameters",
    type=click.Path(path_type=Path),
    metavar="FILE.npz",
    help="A result that was saved, with its history, or parameters.",
)
@click.option(
    "--certificate",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="The certificate of the model's module.  [default: the one beside the built module]",
)
@click.option("--certify", is_flag=True, help="Examine the module now, and show its certificate.")
@click.option("--precision", type=click.Choice(PRECISIONS), default="float64", show_default=True)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default="report.html", show_default=True, help="File to write to."
)
def report(
    model: str | None,
    data: Path | None,
    parameters: Path | None,
    certificate: Path | None,
    certify: bool,
    precision: str,
    out: Path,
) -> None:
    """Write a page that shows what a model computes.

    Its graph and formulas, every derivative with the step that it comes from, what each stage did, the C, and the
    numbers of a result. A formula that is given data alone is fitted to them; without a model, the perceptron is shown
    with its training.
    """
    from nncodegen.reports import check_target, report as make_report  # noqa: I001, PLC0415 (SymPy's printers take time)

    check_target(out)  # before the work, not after it
    chosen = perceptron.model if model is None else load_model(model)
    made = make_report(chosen, parameters, data, precision, certificate, certify)
    made.save(out)
    click.echo(f"{printable(made.name)}: {len(made.html.encode()):,} bytes, written to {out}")


@command.command()
@click.argument("model", metavar="MODEL.py[:NAME]|FOLDER")
@click.option("--target", required=True, type=click.Choice(tuple(DESTINATIONS)), help="Where the model is taken.")
@click.option(
    "--parameters",
    type=click.Path(path_type=Path),
    metavar="FILE.npz",
    help="Trained parameters, which are written as constants: the file of a Result, or arrays.",
)
@with_flags(OPTIONS)
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write to.  [default: NAME_TARGET]")
def export(model: str, target: str, parameters: Path | None, out: Path | None, **options: Any) -> None:
    """Write a model for use elsewhere: as C, for another runtime, or as a package.

    The model is that of a Python file, or the folder of a table's model that `fit` has written.
    """
    chosen: Any
    if Path(model).is_dir():
        import_pandas()
        from nncodegen.table.trained import load_model as load_table  # noqa: PLC0415 (pandas is optional)

        chosen = load_table(model)
    else:
        chosen = load_model(model)
    exported = write_export(chosen, target, out, parameters, **options)
    width = max(map(len, exported.files))
    for file, content in exported.files.items():
        click.echo(f"{file:<{width}}  {len(content):>9,} bytes")
    click.echo(f"\n{exported.report}\nwritten to {exported.folder}".replace("\n\n\n", "\n\n"))


def _is_model(value: object) -> bool:
    """Return whether a value is a model, and not a class of models."""
    return not isinstance(value, type | ModuleType) and isinstance(value, Describable)


def load_model(argument: str) -> Describable:
    """Return the model in a Python file: the one named after a colon, or the only one. Raises ModelError."""
    text, colon, name = argument.partition(".py:")
    path = Path(f"{text}.py") if colon else Path(argument)
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    module = run_file(path)
    models: dict[str, Describable] = {key: value for key, value in vars(module).items() if _is_model(value)}
    if not models:
        raise ModelError(f"{path} defines no model: assign a nncodegen.Model or a nncodegen.Sequential to a name")
    if colon and name not in models:
        raise ModelError(f"{path} defines no model {name}; there are: {', '.join(models)}")
    if not colon and len(set(map(id, models.values()))) > 1:
        raise ModelError(f"{path} defines several models; choose one: {', '.join(f'{path}:{key}' for key in models)}")
    return models[name] if colon else next(iter(models.values()))


def main() -> NoReturn:
    """Run the command line. Exit codes: 0, 1 for what is wrong with the input, 2 for wrong usage."""
    if sys.stdout is None:  # stdout was closed: a file opened for reading would get its place and raise errors
        sys.stdout = open(os.devnull)  # noqa: SIM115 (for as long as the process lives)
    try:
        code = _run()
        sys.stdout.flush()  # so that errors occur here, and not when Python ends
    except BrokenPipeError:  # the reader, such as head, has closed the pipe
        _leave_output()
        code = 1
    except (OSError, UnicodeEncodeError) as error:
        _tell(f"error: {_of_the_system(error)}")
        _leave_output()
        code = 1
    sys.exit(code)


def _run() -> int:
    """Run the command and return its exit code; errors of the system are not caught."""
    try:
        command.main(prog_name="python -m nncodegen", standalone_mode=False)
    except click.ClickException as error:
        _tell(_shown(error))
        return error.exit_code
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        _tell("interrupted")
        return 130
    except (NncodegenError, ImportError) as error:
        _tell(f"error: {printable(error, lines=True)}\n{getattr(error, 'trace', '')}".rstrip())
        return 1
    return 0


def _shown(error: click.ClickException) -> str:
    """Return the text of an error of click."""
    text = io.StringIO()
    error.show(file=text)
    return text.getvalue().rstrip()


def _tell(message: str) -> None:
    """Print a message to standard error, if that can be written."""
    with contextlib.suppress(OSError):
        click.echo(message, err=True)


def _of_the_system(error: OSError | UnicodeEncodeError) -> str:
    """Return an error of the operating system as a message."""
    if isinstance(error, UnicodeEncodeError):
        letter = error.object[error.start]
        return (
            f"{letter!a} cannot be written in {error.encoding}: set PYTHONIOENCODING to utf-8, or choose another name"
        )
    reason = reason_of(error)
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {reason}"
    try:
        click.echo()
    except OSError:
        return f"cannot write to the standard output: {reason}"
    return reason


def _leave_output() -> None:
    """Discard what could not be written; otherwise Python would try again when it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


# --- what is printed ---------------------------------------------------------------------------------------------


def _working(console: Console, what: str) -> contextlib.AbstractContextManager[object]:
    """Show on a terminal that work goes on; elsewhere nothing would be shown, and its import is saved."""
    return console.status(what) if console.is_terminal and not console.quiet else contextlib.nullcontext()


def _report(console: Console, stage: Stage) -> None:
    result = stage.result
    if isinstance(result, Program):
        summary = f"{len(result.steps)} steps"
        if stage.findings.operations:
            before, after = stage.findings.operations
            summary += f"; operations for one sample: {f'{before} before, {after} after' if before else after}"
    elif isinstance(result, Schedule):
        summary = f"{result.loops} loop nests in {len(result.kernels)} kernels"
    elif stage.name == "emit":
        summary = ", ".join(f"{name} ({len(text.splitlines())} lines)" for name, text in result.files.items())
    else:
        summary = "from the cache" if result.cached else "compiled"
    _line(console, stage.name, stage.seconds, summary)


def _line(console: Console, name: str, seconds: float, summary: str) -> None:
    console.print(f"{name:<14}{seconds * 1e3:>8.1f} ms   {summary}", markup=False)


def _found(check: Check | None) -> str:
    """Return the result of the check of the gradient, as text."""
    if check is None:
        return "not checked: the loss is not finite on random data"
    text = f"the gradient agrees with its evaluation to {max(check.evaluated, 1e-16):.0e}, "
    if check.differences is None:
        return text + "differences did not converge"
    return text + f"with central differences to {max(check.differences, 1e-16):.0e}"


def _certified(console: Console, compiled: Compiled, model: Describable, march: str) -> Certificate:
    """Certify a compiled model, print a line about it, and return the certificate."""
    from nncodegen.certificates.interface import certify_compiled  # noqa: PLC0415 (80 ms that most builds save)

    start = time.perf_counter()
    with _working(console, "certifying"):
        certificate = certify_compiled(compiled, model, march)
    worst = certificate.worst
    summary = certificate.verdict
    if worst is not None:
        summary += f"; nearest to its bound is {worst.quantity}, {worst.error:.3g} of {worst.bound:.3g} ulp"
    _line(console, "certify", time.perf_counter() - start, summary)
    return certificate


def _check_certificate(certificate: Certificate) -> None:
    """Raise CertificateError where a certificate does not hold."""
    if not certificate.holds:
        raise CertificateError(f"the certificate of {certificate.name} does not hold")


def _train_perceptron(console: Console, module: Module) -> None:
    start = time.perf_counter()
    before = float(module.predict(module.initial_parameters(), perceptron.X)[0, 0])
    result = module.train(
        perceptron.X,
        perceptron.Y,
        learning_rate=perceptron.LEARNING_RATE,
        epochs=perceptron.EPOCHS,
        update="sequential",
    )
    after = float(module.predict(result.parameters, perceptron.X)[0, 0])
    summary = (
        f"output {before:.12f} before, {after:.12f} after {result.epochs} sequential iterations "
        f"at learning rate {perceptron.LEARNING_RATE}"
    )
    _line(console, "train", time.perf_counter() - start, summary)


def _how_to_import(path: Path, module: str) -> str:
    """Return the statements that import a module from its file.

    They name the folders below the working directory, or the path of the file if another module, such as one of Python,
    has the first name and would be imported instead.
    """
    parts = path.parent.parts
    names = parts or (module,)
    readable = all(part.isidentifier() and not keyword.iskeyword(part) for part in parts)
    if readable and not path.is_absolute() and not _is_taken(names[0], path):
        return f"from {'.'.join(parts)} import {module}" if parts else f"import {module}"
    return (
        f"from importlib import util; spec = util.spec_from_file_location({module!r}, {str(path)!r}); "
        f"{module} = util.module_from_spec(spec); spec.loader.exec_module({module})"
    )


def _is_taken(name: str, path: Path) -> bool:
    """Return whether importing a name would find another module than the file, or than the folders that lead to it."""
    if name in sys.stdlib_module_names:
        return True
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return True
    return spec is not None and spec.origin is not None and Path(spec.origin) != path.absolute()
