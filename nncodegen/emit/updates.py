"""The updates of the optimizers in C: for each, a function over a range of parameters."""

from __future__ import annotations

from functools import lru_cache

from nncodegen.emit.lines import Lines
from nncodegen.emit.names import Names
from nncodegen.emit.printer import Printer
from nncodegen.ir import PARAMETER, Element, Step, Update


class UpdateEmitter:
    """Writes the function of an optimizer: numbers first, in double, then one loop over parameters."""

    def __init__(self, update: Update, precision: str, lines: Lines) -> None:
        self._update, self._precision, self._lines = update, precision, lines
        self._names = Names((PARAMETER,))

    def emit(self) -> None:
        """The function. It returns whether a new parameter is not finite."""
        update, lines = self._update, self._lines
        uniform = [step for step in update.steps if not step.target.indices]
        elementwise = [step for step in update.steps if step.target.indices]
        lines.add(
            f"/* One update of the parameters first <= p < last by {update.name}: next holds their gradient, and then",
            "   what they become. Returns whether one is not finite. */",
        )
        with lines.block(
            f"static HOT int update_{update.name}(size_t first, size_t last, const double *restrict options,\n"
            f"    double t, const real *restrict parameter, real *restrict state, real *restrict next)"
        ):
            with lines.unused("t", "state", "options", "parameter"):
                self._emit_body(uniform, elementwise)
            lines.add("return (int) (check >> FIRST_BIT);")
        lines.add("")

    def _emit_body(self, uniform: list[Step], elementwise: list[Step]) -> None:
        update, lines = self._update, self._lines
        read = {e.tensor for step in elementwise for e in step.operands}
        used = read | {e.tensor for step in uniform for e in step.operands}
        for k, hyperparameter in enumerate(update.hyperparameters):
            if hyperparameter.name not in used:  # it says what the state is at first
                continue
            lines.add(f"const double {self._double(Element(hyperparameter.name))} = options[{k}];")
        double, single = Printer("float64", self._double), Printer(self._precision, self._element)
        for step in uniform:
            lines.add(f"/* {step} */")
            value = double.print(step.expression)
            lines.add(f"const double {self._double(step.target)} = {value};")
        hypers = (Element(hyper.name) for hyper in update.hyperparameters)
        for element in (Element("t"), *hypers, *(step.target for step in uniform)):
            if element.tensor in read:
                name = self._names[element.tensor]
                lines.add(f"const real {name} = (real) {self._double(element)};")
        lines.add("word check = 0;")
        with lines.block(f"for (size_t {PARAMETER} = first; {PARAMETER} < last; {PARAMETER}++)"):
            if "gradient" in read | {element.tensor for element in update.results}:
                lines.add("const real gradient = next[p];")
            for step in elementwise:
                lines.add(f"/* {step} */")
                value = single.print(step.expression)
                lines.add(f"const real {self._names[step.target.tensor]} = {value};")
            for target, result in zip(("next[p]", *map(self._state, update.state)), update.results, strict=True):
                lines.add(f"{target} = {self._element(result)};")
            lines.add("check |= beyond(next[p]);")

    def _double(self, element: Element) -> str:
        return "t" if element.tensor == "t" else f"{self._names[element.tensor]}_d"

    def _state(self, name: str) -> str:
        return f"state[{self._update.state.index(name)}*PARAMETERS + p]"

    def _element(self, element: Element) -> str:
        if element.tensor == "gradient":
            return "gradient"
        if element.tensor == "parameter":
            return "parameter[p]"
        if element.tensor in self._update.state:
            return self._state(element.tensor)
        return self._names[element.tensor]


@lru_cache(maxsize=64)  # the same in every module
def emit_update(update: Update, precision: str) -> str:
    """The function of an optimizer, as text."""
    lines = Lines()
    UpdateEmitter(update, precision, lines).emit()
    return str(lines)


def emit_dispatch(updates: tuple[Update, ...], lines: Lines) -> None:
    """One function that calls the update of a given number."""
    lines.add("/* One update by the optimizer of the given number. */")
    with (
        lines.block(
            "static int update(int optimizer, size_t first, size_t last, const double *restrict options, double t,\n"
            "    const real *restrict parameter, real *restrict state, real *restrict next)"
        ),
        lines.block("switch (optimizer)"),
    ):
        for number, update in enumerate(updates):
            label = f"case {number}:" if number < len(updates) - 1 else "default:"
            lines.add(
                label,
                f"    return update_{update.name}(first, last, options, t, parameter, state, next);",
            )
    lines.add("")
