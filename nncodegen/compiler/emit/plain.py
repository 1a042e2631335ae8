"""The elements of plain kernels (see ``schedule.plain``): where their values are, in C that uses only its arguments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from math import prod

from nncodegen.compiler.emit.calls import Calls
from nncodegen.compiler.emit.elements import OWN_POINTERS, Elements, noise_arguments
from nncodegen.compiler.emit.lines import wrapped
from nncodegen.compiler.emit.names import Names
from nncodegen.compiler.ir import Element, Step
from nncodegen.compiler.ir.systems import System, path, swept
from nncodegen.compiler.schedule.plain import OneSample, solver_of
from nncodegen.compiler.schedule.storage import Place
from nncodegen.compiler.schedule.tree import Call, Tree
from nncodegen.compiler.schedule.tree_walks import elements, walk
from nncodegen.errors import ProgramError

ARRAYS = {
    Place.PARAMETER: "parameters",
    Place.INPUT: "inputs",
    Place.TARGET: "targets",
    Place.OUTPUT: "outputs",
    Place.GRADIENT: "gradient",
}
"""The array arguments of functions, each of which holds the tensors of a kind one after the other."""


class PlainElements(Elements):
    """The elements of a plain kernel. ``helpers`` collects what they call."""

    sums_are_double = False

    def __init__(self, kernel: OneSample, helpers: dict[str, None]) -> None:
        self.program, self._storage, self._helpers = kernel.program, kernel.kernel.storage, helpers
        self.names = Names(kernel.program.sizes)
        for tensor in kernel.program.declared:
            self.names[tensor.name]

    def place(self, element: Element) -> Place:
        """Return the kind of place where an element is stored."""
        return self._storage[element.tensor].place

    def name(self, element: Element) -> str:
        """Return the variable of an element that is not in memory."""
        return self.names[element.tensor]

    def variable(self, element: Element) -> str:
        """Return the variable in which a value is computed."""
        name = self.name(element)
        return name if self.place(element) is Place.LOCAL else self.names.current(name)

    def value(self, element: Element, local: Container[str]) -> str:
        """Return the text of the value of an element: its place, even if a variable holds it as well."""
        place = self.place(element)
        if place is Place.WEIGHT:
            return "weight"
        if place is Place.LOCAL or (place in ARRAYS and not element.indices):
            return self.name(element)
        return self.stored(element)

    def stored(self, element: Element) -> str:
        """Return the text of an element in memory."""
        storage = self._storage[element.tensor]
        if storage.place is Place.IDENTITY:
            return f"(real) ({' == '.join(element.indices)})"
        pairs = list(zip(element.indices, storage.strides, strict=True))
        moving = [(index, stride) for index, stride in pairs if stride and not index.isdigit()]
        texts = [index if stride == 1 else f"{stride}*{index}" for index, stride in moving]
        number = sum(stride * int(index) for index, stride in pairs if index.isdigit())
        if storage.place is Place.NOISE:
            return self._noise(storage.offset, " + ".join(texts) or "0")
        has_pointer = storage.place in OWN_POINTERS
        number += 0 if has_pointer else storage.offset
        texts += [str(number)] if number or not texts else []
        return f"{self.name(element) if has_pointer else ARRAYS[storage.place]}[{' + '.join(texts)}]"

    def begin(self, element: Element) -> str:
        """Return the begin of the values of an element, which follow each other in memory."""
        storage = self._storage[element.tensor]
        sizes = [self.program.sizes[index] or 1 for index in element.indices]
        if storage.strides != tuple(prod(sizes[k + 1 :]) for k in range(len(sizes))):
            raise ProgramError(f"the values of {element} do not follow each other in memory")
        if storage.place in OWN_POINTERS:
            return self.name(element)
        return f"{ARRAYS[storage.place]}{f' + {storage.offset}' if storage.offset else ''}"

    def weights_of(self, read: path) -> str:
        """Return where the weights of a path lie, one after the other, among the parameters."""
        begins = [self._storage[weight.tensor].offset for weight in read.weights]
        if begins != [begins[0] + offset for offset in read.system.offsets[:-1]]:
            raise ProgramError(f"the weights of {read.system.name} do not follow each other among the parameters")
        return f"parameters + {begins[0]}"

    def work_of(self, states: Element) -> str:
        """Return the begin of the memory of the solver of a path."""
        offset = self._storage[solver_of(states)].offset
        return f"work{f' + {offset}' if offset else ''}"

    def _noise(self, number: int, unit: str) -> str:
        """Return a call that gives a random number, for the number of a layer and of a unit in it."""
        source = self.program.noise[number]
        self._helpers[source.distribution] = None
        return f"{source.distribution}_noise(noise, {number + 1}, {unit}, {noise_arguments(source)})"

    def declarations(self, tree: Tree, also_read: Iterable[Element] = ()) -> Iterator[str]:
        """Yield declarations of names for the parameters, inputs and arrays that are read."""
        used = (*elements(tree), *also_read)
        calls = (call.steps[0].expression for call in walk(tree) if isinstance(call, Call))
        handed = Counter(weight.tensor for call in calls for weight in call.weights)
        handed.subtract(element.tensor for element in used)  # below 0: read elsewhere, too
        read = {element.tensor: element for element in used if handed[element.tensor] < 0}
        for name, storage in self._storage.items():
            if name not in read:
                continue
            array, text, offset = ARRAYS.get(storage.place), self.names[name], storage.offset
            if storage.place in (Place.PARAMETER, Place.INPUT, Place.TARGET) and not read[name].indices:
                yield f"const real {text} = {array}[{offset}];"
            elif storage.place is Place.PARAMETER:
                yield f"const real *const {text} = parameters{f' + {offset}' if offset else ''};"
            elif storage.place is Place.ARRAY:
                yield f"real *const {text} = work{f' + {offset}' if offset else ''};"


class PlainCalls(Calls):
    """Writer of the calls of a plain kernel: they solve the systems of a file, in the order of their functions."""

    def __init__(self, elements: PlainElements, systems: Sequence[System]) -> None:
        super().__init__(elements)
        self._plain, self._systems = elements, systems

    def of(self, call: Call) -> tuple[str, ...]:
        """Return the call that solves a system for one sample."""
        at, (step,) = self._plain, call.steps
        read, times = step.expression, step.expression.time.indices[0]
        if isinstance(read, swept):
            return self._reversed(step, read)
        rows = [at.begin(element) for element in read.rows]
        course = [at.begin(read.course)] if read.course is not None else []
        course += [at.weights_of(read)] if read.weights else []
        number = self._systems.index(read.system) + 1
        arguments = ", ".join([str(at.size(times)), at.begin(read.time), *rows, *["NULL"] * (2 - len(rows)), *course])
        out = f"{at.begin(step.target)}, {at.work_of(step.target)}"
        return tuple(wrapped(f"solve_equations_{number}({arguments}, {out});"))

    def _reversed(self, step: Step, read: swept) -> tuple[str, ...]:
        """Return the call that goes back through the steps of a path of one sample, in the memory of this path."""
        at = self._plain
        operands = [read.time, *([read.course] if read.course is not None else [])]
        operands += [*([read.states] if read.system.jumps.values else []), read.adjoint, step.target]
        arguments = [str(at.size(read.time.indices[0])), *map(at.begin, operands)]
        arguments += [at.work_of(read.states), at.work_of(step.target)]
        return tuple(wrapped(f"reverse_equations_{self._systems.index(read.system) + 1}({', '.join(arguments)});"))
