"""Training of formulas in registers: the gradient of one sample as straight-line scalar text.

A formula trained on single samples is bound by latency: each update waits for the one before it. So the
parameters stay in local variables, and nothing goes through memory on the way from one update to the next. The
sums over the samples are the values of the one sample, whose weight is 1. In sums and products, what is ready early
comes first: ``(2*w0 + w35*h1) + w45*h2`` where h2 is the last to be known.
"""

from __future__ import annotations

from pathlib import Path

from sympy import S

from nncodegen.emit.chains import shorten
from nncodegen.emit.lines import Lines, keep
from nncodegen.emit.names import Names
from nncodegen.emit.ordered import OrderedPrinter, ready
from nncodegen.emit.printer import Printer
from nncodegen.ir import Element, Program, Step
from nncodegen.schedule import Kernel, Place, Schedule

HERE = Path(__file__).parent

STATEMENTS = 400
"""Statements of a gradient up to which it is written for registers: beyond, they do not hold it."""

SEQUENTIAL = 1000
"""Statements up to which sequential updates are written out, with a gradient for each parameter."""


def in_registers(schedule: Schedule) -> bool:
    """Whether a program is a formula, without a loop but that over the samples, and not too long."""
    kernel = schedule.kernels[-1]
    nests = (*kernel.before, *kernel.tile, *kernel.measured, *kernel.after)
    arrays = {name for name, storage in kernel.storage.items() if storage.place is Place.ARRAY}
    kept = arrays <= {element.tensor for element in kernel.outputs}  # for metrics
    scalar = kept and not any(nest.outer or nest.reduced for nest in nests)
    simple = scalar and not any(parameter.shape for parameter in schedule.program.parameters)
    return simple and sum(len(nest.steps) for nest in nests) <= STATEMENTS


class RegistersEmitter:
    """Writes the gradient of one sample, the updates by the optimizers without a state, and their loop."""

    def __init__(self, program: Program, kernel: Kernel, precision: str, lines: Lines) -> None:
        self._program, self._kernel, self._precision, self._lines = program, kernel, precision, lines
        self._names = Names(("point", "w", "gradient", "next", "outputs"))
        self._parameters = [self._names[tensor.name] for tensor in program.parameters]
        self._steps = self._shortened()
        self._update = next(update for update in program.updates if not update.state)  # gradient descent

    def emit(self) -> str:
        """Adds the functions of a sample to the lines; returns the text of the loops, which stands last in the file."""
        self._emit_point()
        self._emit_gradient()
        self._emit_next()
        self._emit_largest()
        sequential = len(self._steps) * len(self._parameters) <= SEQUENTIAL
        if sequential:
            self._emit_sequential()
        stores = "\n".join(f"    parameters[{k}] = w->{name};" for k, name in enumerate(self._parameters))
        text = (HERE / "registers.c").read_text().replace("    @STORES@", stores)
        text = text.replace("@NUMBER@", str(self._program.updates.index(self._update)))
        text = text.replace("@COMPARED@", "outputs, OUTPUTS, 1, targets, TARGETS, 1")
        return keep(keep(text, "SEQUENTIAL", sequential), "SIMULTANEOUS", not sequential)

    def _shortened(self) -> tuple[Step, ...]:
        """The steps of the gradient for one sample of weight 1, in short chains."""
        kernel, loss = self._kernel, self._program.loss
        steps, results = [], [loss, *kernel.outputs]
        for nest in (*kernel.before, *kernel.tile, *kernel.measured, *kernel.after):
            for step in nest.steps:
                weights = {e: S.One for e in step.operands if kernel.storage[e.tensor].place is Place.WEIGHT}
                steps.append(Step(step.target, step.expression.xreplace(weights)))
                if self._parameter(step.target):
                    results.append(step.target)
        parameters = tuple(Element(tensor.name) for tensor in self._program.parameters)
        return shorten(tuple(steps), tuple(results), parameters)

    def _parameter(self, target: Element) -> str:
        """The parameter by which a step is the derivative; nothing if it is another value."""
        storage = self._kernel.storage[target.tensor]
        return self._parameters[storage.offset] if storage.place is Place.GRADIENT else ""

    def _ready_times(self) -> dict[Element, int]:
        """Cycles until each value is ready, where a parameter is ready when its derivative in the last update is."""
        known: dict[Element, int] = {}
        for _ in range(2):
            for step in self._steps:
                known[step.target] = ready(step.expression, known)
            derivatives = {self._parameter(step.target): known[step.target] for step in self._steps}
            first = min(derivatives[name] for name in self._parameters)
            for tensor, name in zip(self._program.parameters, self._parameters, strict=True):
                known[Element(tensor.name)] = derivatives[name] - first
        return known

    def _emit_point(self) -> None:
        lines = self._lines
        lines.add("/* One value for each parameter, in their order. */")
        with lines.block("typedef struct"):
            lines.add(*(f"real {name};" for name in self._parameters))
        lines.extend_last(" __attribute__((may_alias)) point;")
        lines.add("")

    def _emit_gradient(self) -> None:
        lines, names = self._lines, self._names
        printer = OrderedPrinter(self._precision, lambda element: names[element.tensor], self._ready_times())
        read = {element.tensor for step in self._steps for element in step.operands}
        lines.add("/* The loss of one sample, and its derivatives; and the outputs, where these have metrics. */")
        head = (
            "static inline __attribute__((always_inline)) real sample_gradient(const point *w, const real *inputs,\n"
            "    const real *targets, point *gradient, real *outputs)"
        )
        with lines.block(head):
            with lines.unused("w", "inputs", "targets", "outputs"):
                for tensor, name in zip(self._program.parameters, self._parameters, strict=True):
                    if tensor.name in read:
                        lines.add(f"const real {name} = w->{name};")
                for array, tensors in (("inputs", self._program.inputs), ("targets", self._program.targets)):
                    for column, tensor in enumerate(tensors):
                        if tensor.name in read:
                            lines.add(f"const real {names[tensor.name]} = {array}[{column}];")
                for step in self._steps:
                    name = self._parameter(step.target)
                    place = f"gradient->{name}" if name else f"const real {names[step.target.tensor]}"
                    lines.add(f"{place} = {printer.print(step.expression)};")
                for number, element in enumerate(self._kernel.outputs):
                    lines.add(f"outputs[{number}] = {names[element.tensor]};")
            lines.add(f"return {names[self._program.loss.tensor]};")
        lines.add("")

    def _emit_next(self) -> None:
        lines = self._lines
        lines.add(f"/* One update by {self._update.name}; 0 unless a new parameter is not finite. */")
        head = (
            "static inline real next_point(const point *w, const point *gradient, const double *options, point *next)"
        )
        with lines.block(head):
            self._emit_options()
            for name in self._parameters:
                lines.add(f"next->{name} = {self._next(name, '->')};")
            lines.add("real check = 0;", *(f"check += next->{name}*0;" for name in self._parameters))
            lines.add("return check;")
        lines.add("")

    def _emit_options(self) -> None:
        for number, hyperparameter in enumerate(self._update.hyperparameters):
            self._lines.add(f"const real {hyperparameter.name} = (real) options[{number}];")

    def _next(self, name: str, member: str) -> str:
        """The next value of a parameter."""
        places = {"parameter": f"w->{name}", "gradient": f"gradient{member}{name}"}
        (step,) = self._update.steps
        return Printer(self._precision, lambda e: places.get(e.tensor, e.tensor)).print(step.expression)

    def _emit_largest(self) -> None:
        lines = self._lines
        with lines.block("static inline double larger(double a, double b)"):
            lines.add("return a > b ? a : b;")
        lines.add("", "/* The largest change of a parameter. */")
        with lines.block("static inline double largest_change(const point *w, const point *next)"):
            lines.add("double largest = 0;")
            for name in self._parameters:
                lines.add(f"largest = larger(largest, fabs((double) (next->{name} - w->{name})));")
            lines.add("return largest;")
        lines.add("")

    def _emit_sequential(self) -> None:
        """Every parameter by itself; the compiler leaves out what its derivative does not need."""
        lines = self._lines
        lines.add(
            f"/* One update by {self._update.name} of one parameter after the other, each with the gradient at what",
            "   those before it have become; 0 unless a loss or a new parameter is not finite. Outputs and loss",
            "   are those of the first. */",
        )
        head = (
            "static real update_in_turn(point *w, const real *inputs, const real *targets, const double *options,\n"
            "    real *loss, real *outputs)"
        )
        with lines.block(head):
            self._emit_options()
            lines.add("point gradient;", "real present, next, unused[OUTPUTS + 1];", "(void) unused;")
            for number, name in enumerate(self._parameters):
                place = "unused" if number else "outputs"
                lines.add(f"present = sample_gradient(w, inputs, targets, &gradient, {place});")
                if number == 0:
                    lines.add("*loss = present;")
                lines.add(f"next = {self._next(name, '.')};")
                with lines.block("if (!(present*0 + next*0 == 0))"):
                    lines.add("return NAN;")
                lines.add(f"w->{name} = next;")
            lines.add("return 0;")
        lines.add("")
