"""The certificate of a model whose steps are chosen: the errors of its results in units of the tolerance.

What such a module computes is no formula, whose rounding could be measured, but an approximate solution. So it is
compared with the exact one, and the error is the *global error* of the method, as a multiple of atol + rtol*|u|.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from nncodegen.certificates.exact import many
from nncodegen.certificates.examination_points import Point, Points
from nncodegen.certificates.products import Array
from nncodegen.certificates.radau import DIGITS
from nncodegen.certificates.results import machine
from nncodegen.certificates.trajectories import (
    MOST_WEIGHTS,
    Exact,
    Values,
    allowed_of,
    compared_of,
    exact_of,
    step_of,
)
from nncodegen.certificates.ulps import LARGEST, Precision, precision_of
from nncodegen.compiler.building.build import build_plainly, load
from nncodegen.compiler.emit import Sources
from nncodegen.compiler.ir import Program, evaluate, slices_of
from nncodegen.compiler.ir.evaluate import columns_of, outcomes
from nncodegen.compiler.ir.systems import System
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.stabilize import stabilize
from nncodegen.errors import ModelError
from nncodegen.runtime.module import Module
from nncodegen.runtime.python.ground.certificate import HOLDS, METHOD, WRONG, Fault, Figure
from nncodegen.runtime.python.ground.outcomes import SOLVED

REFERENCE = "the differential equations of the model, solved by Radau IIA methods of high order in many digits"

BOUND = 100.0
"""The largest error that holds, in units of the tolerance."""

ORDINARY, LONG = KINDS = ("ordinary", "long")
SPANS = {ORDINARY: (-1.0, 0.5), LONG: (0.5, 1.5)}
"""The powers of ten between which the length of a trajectory is drawn, in times in which its start would change as a
whole."""

MOST_STATES = 20
"""The largest number of states of a certificate: exact solutions solve linear equations of this size."""

ROWS = 2
"""Samples of a point."""

POINTS = 2
"""Points of each kind, where solutions of an explicit method are compared. Those of implicit ones, and those with
networks, take longer."""


@dataclass(frozen=True)
class Compared:
    """The error of a quantity at a point, and this point with its exact results."""

    figure: Figure
    point: Point
    exact: Sequence[Exact]
    seed: int


def system_of(program: Program) -> System | None:
    """Return the differential equations of a program whose steps are chosen, or None."""
    step = step_of(program)
    return None if step is None else step.expression.system


def check_examined(program: Program) -> None:
    """Raise ModelError for equations of which no certificate knows the exact solution."""
    system = system_of(program)
    assert system
    way = "with a number of steps, such as steps=10, it has a certificate"
    if len(system.states) > MOST_STATES:
        raise ModelError(
            f"{program.name} has no certificate: its steps are chosen by an estimate of their error, and exact "
            f"solutions of more than {MOST_STATES} states, here {len(system.states)}, take too long; {way}"
        )


def points_of(program: Program, points: int | None) -> int:
    """Return the number of points of each kind."""
    system = system_of(program)
    assert system
    return points or (1 if system.implicit or system.steps else POINTS)


def examined(
    modules: Sequence[Module], program: Program, count: int, rows: int, seed: int
) -> tuple[list[Compared], dict[str, int]]:
    """Return the errors of modules at all points, and the number of points of each kind.

    Raise ModelError where no point has an exact solution that is found in reasonable time.
    """
    check_examined(program)
    compared: list[Compared] = []
    counts = dict.fromkeys(KINDS, 0)
    for number, kind in enumerate(KINDS):
        for attempt in range(2 * count + 2):
            draw = np.random.default_rng([seed, number, attempt])
            derived = not counts[kind]
            point = _drawn(program, kind, rows, draw)
            exact = exact_of(program, point, derived) if point else None
            if point and derived and not exact:  # derivatives of stiff equations may take much longer
                derived, exact = False, exact_of(program, point, False)
            if point and exact:
                counts[kind] += 1
                for module in modules:
                    compared += _compared(module, program, point, exact, derived, attempt)
            if counts[kind] == count:
                break
    if not compared:
        raise ModelError(
            f"{program.name} has no certificate: at no point that was drawn about its initial parameters do its "
            "equations have an exact solution that is found in reasonable time; choose initial parameters for which "
            "they are less stiff, or have no pole"
        )
    return compared, counts


def digits_of(program: Program) -> int:
    """Return the digits to which exact solutions are known, relative to the largest value of a state."""
    system = system_of(program)
    assert system
    return round(-float(np.log10(system.control.rtol * allowed_of(system))))


# --- points ------------------------------------------------------------------------------------------------------


def _drawn(program: Program, kind: str, rows: int, random: np.random.Generator) -> Point | None:
    """Return a point about the initial parameters, whose times are those in which its states change; None without one.

    Some times occur twice, where states jump or columns change.
    """
    seed = int(random.integers(2**31))
    point = Points(program, program, rows, seed).of("ordinary")
    system, step = system_of(program), step_of(program)
    if point is None or system is None or step is None:
        return None
    column_range = next(
        column_range for tensor, column_range in slices_of(program.inputs) if tensor.name == step.expression.time.tensor
    )
    count, start = column_range.stop - column_range.start, system.control.start
    X = point.X.copy()
    X[:, column_range] = 0.0 if start is None else start
    usual = _usual_times(program, replace(point, X=X))
    for n, time in enumerate(usual):
        span = time * 10 ** random.uniform(*SPANS[kind])
        begin = random.uniform(0, time) if start is None else start
        times = np.sort(random.uniform(0, span, count))
        times[-1] = span
        if start is None:
            times[0] = 0.0
        if system.stops and count > 3:
            twice = int(random.integers(1, count - 1))
            times[twice] = times[twice - 1]
        X[n, column_range] = begin + times
    X = X.astype(program.precision).astype(float)
    return replace(point, kind=kind, X=X) if np.isfinite(X).all() else None


def _usual_times(program: Program, point: Point) -> list[float]:
    """Return for each row the time in which the states would change by their size, with the rates at the start."""
    step = step_of(program)
    assert step
    times = []
    for row in range(len(point.X)):
        # all times are one: the solution is the start, and costs nothing
        exact = exact_of(program, replace(point, X=point.X[row : row + 1], Y=point.Y[row : row + 1]), False)
        if exact is None:
            return []
        u, rates = exact[0].start
        size = max((abs(value) for value in u), default=0.0) or 1.0
        fastest = max(abs(value) for value in rates)
        times.append(size / fastest if fastest else 1.0)
    return times


# --- the comparison ----------------------------------------------------------------------------------------------


def _compared(
    module: Module, program: Program, point: Point, exact: Sequence[Exact], derived: bool, seed: int
) -> Iterator[Compared]:
    """Yield the errors of a module at a point: of each sample alone, and of all together."""
    precision = precision_of(program.precision)
    system = exact[0].system
    with mpmath.workdps(DIGITS):
        condition = max(value.solution.condition(system) for value in exact)

        def figure(quantity: str, error: float, place: str) -> Compared:
            verdict = HOLDS if error <= BOUND else WRONG
            return Compared(Figure(quantity, point.kind, error, condition, BOUND, verdict, place), point, exact, seed)

        count = len(exact)
        for rows in [*(slice(n, n + 1) for n in range(count)), *([slice(None)] if count > 1 else [])]:
            outputs, losses, gradients = machine(module, point, rows, "")
            exact_rows = exact[rows]
            for k, (tensor, columns) in enumerate(slices_of(program.output_tensors)):
                those = _stacked([Values(value.outputs.exact[k], value.outputs.unit[k]) for value in exact_rows])
                errors = [_errors(outputs_of_module[:, columns], those, precision) for outputs_of_module in outputs]
                worst = max(errors, key=np.max)
                n, j = np.unravel_index(np.argmax(worst), worst.shape)
                at = f"{exact[0].time_name} = {float(exact_rows[int(n)].times[j]):.4g}"
                yield figure(tensor.name, float(worst[n, j]), at)
            mean = _mean([value.loss for value in exact_rows])
            yield figure("loss", max(float(np.max(_errors(value, mean, precision))) for value in losses), "")
            if derived:
                mean = _mean([value.gradient for value in exact_rows])
                compared = exact[0].compared
                for tensor, own_places in slices_of(program.parameters):
                    among = (own_places.start <= compared) & (compared < own_places.stop)
                    part = Values(mean.exact[among], mean.unit[among])
                    errors = [_errors(value[compared[among]], part, precision) for value in gradients]
                    yield figure(f"d_{tensor.name}", max(float(np.max(value)) for value in errors), "")
        if derived and program.parameter_count:
            yield from _of_jacobian(module, point, exact, precision, figure)


def _of_jacobian(
    module: Module, point: Point, exact: Sequence[Exact], precision: Precision, figure: Any
) -> Iterator[Any]:
    """Yield the error of the Jacobian, if the module has one."""
    typed = [part.astype(module.dtype) for part in (point.parameters, point.X)]
    try:
        jacobian = module.jacobian(*typed)
    except ValueError:  # the module has none
        return
    worst, place = 0.0, ""
    for n, exact_row in enumerate(exact):
        errors = _errors(many(jacobian[n][:, exact_row.compared]), exact_row.jacobian, precision)
        if np.max(errors) > worst:
            k, _ = np.unravel_index(np.argmax(errors), errors.shape)
            worst, place = (
                float(np.max(errors)),
                f"{exact_row.time_name} = {float(exact_row.times[k % len(exact_row.times)]):.4g}",
            )
    yield figure("jacobian", worst, place)


def _errors(actual: Array, exact: Values, precision: Precision) -> NDArray[np.float64]:
    """Return the errors of numbers in their units, to which one unit in the last place is added."""
    unit = exact.unit + np.frompyfunc(precision.ulp, 1, 1)(abs(exact.exact))
    with np.errstate(invalid="ignore"):
        errors = np.frompyfunc(float, 1, 1)(abs(actual - exact.exact) / unit).astype(float)
    return np.where(np.isfinite(errors), errors, LARGEST)


def _stacked(values: Sequence[Values]) -> Values:
    return Values(np.stack([value.exact for value in values]), np.stack([value.unit for value in values]))


def _mean(values: Sequence[Values]) -> Values:
    return Values(*(np.sum(part, axis=0) / len(values) for part in (_stacked(values).exact, _stacked(values).unit)))


# --- faults ------------------------------------------------------------------------------------------------------


def faults_of(results: Sequence[Compared], program: Program, sources: Sources) -> tuple[Fault, ...]:
    """Return the fault of the worst figure that does not hold; an empty tuple if all of them hold.

    NumPy takes the same steps: if its outputs are as far from the exact ones, the fault is in no program.
    """
    wrong = [result for result in results if result.figure.verdict == WRONG]
    if not wrong:
        return ()
    names = [tensor.name for tensor in program.output_tensors]
    worst = max(wrong, key=lambda result: (result.figure.quantity in names, result.figure.error))
    figure, point, step = worst.figure, worst.point, str(step_of(program))
    deviation = f"{figure.quantity} is {figure.error:.3g} units of the tolerance off" + (
        f" at {figure.place}" if figure.place else ""
    )
    if figure.error >= LARGEST:
        deviation = f"{figure.quantity} is no number" + (f" at {figure.place}" if figure.place else "")
    ended = next((result for result in outcomes(program, point.parameters, point.X) if result != SOLVED), "")
    if ended:
        return (
            Fault(METHOD, step, figure.kind, figure.error, f"{deviation}: the steps end with the outcome {ended!r}"),
        )
    if _of_numpy(program, worst) > BOUND:
        why = (
            f"the exact solution itself moves by {figure.condition:.3g} units where its start moves by one, and so "
            "grow the errors of all steps: choose smaller tolerances"
            if figure.condition > 1
            else "the steps do not keep the tolerance: choose a smaller one"
        )
        message = f"{deviation}, and so are the same steps taken with NumPy: {why}"
        return (Fault(METHOD, step, figure.kind, figure.error, message),)
    plainly = load(build_plainly(sources))
    again = _compared(plainly, program, point, worst.exact, False, worst.seed)
    wrong_again = any(result.figure.verdict == WRONG for result in again)
    if wrong_again and figure.quantity not in (*names, "loss") and _derivatives_of_steps(plainly, program, point):
        message = (
            f"{deviation}, and so are the derivatives of the same steps taken with NumPy, as an estimate of the error "
            "of states alone chooses these: choose a smaller tolerance"
        )
        return (Fault(METHOD, step, figure.kind, figure.error, message),)
    if wrong_again:
        message = (
            f"{deviation}, also where the C is compiled without optimization; the same steps taken with NumPy are right"
        )
        return (Fault("emit", step, figure.kind, figure.error, message),)
    message = f"{deviation}, and right where the same C is compiled without optimization"
    return (Fault("build", step, figure.kind, figure.error, message),)


def _of_numpy(program: Program, worst: Compared) -> float:
    """Return the largest error of outputs where NumPy takes the steps of the program."""
    point = worst.point
    values = evaluate(program, point.parameters, point.X, point.Y)
    arrays = [values[element.tensor] for element in program.outputs]
    columns = columns_of(arrays, program.outputs, len(point.X))
    with mpmath.workdps(DIGITS):
        exact = _stacked(
            [Values(element.outputs.exact.reshape(-1), element.outputs.unit.reshape(-1)) for element in worst.exact]
        )
        return float(np.max(_errors(many(columns), exact, precision_of("float64"))))


def _derivatives_of_steps(module: Module, program: Program, point: Point) -> bool:
    """Return whether the gradient of a module with networks is that of the same steps, taken with NumPy and back."""
    system = system_of(program)
    if not system or not system.weights:
        return False  # derivatives are states, whose errors choose the steps as well
    differentiated = differentiate(stabilize(program))
    values = evaluate(differentiated, point.parameters, point.X, point.Y)
    expected = np.concatenate([values[element.tensor].ravel() for element in differentiated.gradient])
    _, gradient = module.loss_and_gradient(
        *(element.astype(module.dtype) for element in (point.parameters, point.X, point.Y))
    )
    far = np.max(abs(gradient - expected), initial=0.0)
    return bool(far <= system.control.rtol * np.max(abs(expected), initial=0.0))


def left_out(program: Program, figures: Sequence[Figure]) -> tuple[str, ...]:
    """Return the parts of a model that are not examined, given the figures of what is."""
    return tuple(_left_out(program, {figure.kind for figure in figures if figure.quantity.startswith("d_")}))


def _left_out(program: Program, derived: set[str]) -> Iterator[str]:
    yield "the rounding of single steps, which is far below the tolerance, and the stages of the compiler one by one"
    if program.parameter_count:
        yield "derivatives at other points than the first one of each kind, and second derivatives"
    if len(compared_of(program)) < program.parameter_count:
        yield f"derivatives by other weights of networks than about {MOST_WEIGHTS}, which are drawn"
    if program.parameter_count and len(derived) < len(KINDS):
        kinds = " and ".join(kind for kind in KINDS if kind not in derived)
        yield f"derivatives at {kinds} points, where their exact solution takes too long"
    yield "updates of optimizers, penalties, clipping, weights of samples, and metrics"
    if program.task.fits.has_fit_by_default and program.parameter_count:
        yield "fits and fit_many, but for the Jacobian that they ask for"
