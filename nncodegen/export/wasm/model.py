"""What of a model becomes WebAssembly: plain C without a library, and what JavaScript must know of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nncodegen.emit.lines import Lines
from nncodegen.export.c.model import PlainModel
from nncodegen.export.c.plain import header, runtime_text, source
from nncodegen.export.initial import start_of
from nncodegen.export.request import Request

FEW = 64
"""Up to this many parameters stand in the JavaScript, where one can read them; more are a file of their own."""

TRAINING = """\
/* A random order of the samples, from the state of a generator, which is changed. */
void @name@_shuffle(size_t *order, size_t samples, uint64_t *random)
{
    shuffle(order, samples, random);
}

/* The mean loss of samples, which are given by their numbers, and its gradient. Noise depends on seed and update. */
real @name@_batch(const real *parameters, size_t samples, const size_t *order, const real *inputs,
    const real *targets, real *gradient, double seed, double update, real *work)
{
    const uint64_t noise = (uint64_t) seed*UINT64_C(0xD1342543DE82EF95) + ((uint64_t) update << 32);
    real loss = 0;
    (void) noise;
    for (size_t p = 0; p < @NAME@_PARAMETERS; p++)
        gradient[p] = 0;
    for (size_t n = 0; n < samples; n++) {
        const real *const x = inputs + order[n]*@NAME@_INPUTS, *const y = targets + order[n]*@NAME@_TARGETS;
        loss += @name@_add_gradient(parameters, x, y, 1/(real) samples, gradient, @noise@work);
    }
    return loss;
}

/* Gradient descent of one parameter after the other, each with a new gradient. Returns the loss before. */
real @name@_sweep(real *parameters, size_t samples, const size_t *order, const real *inputs, const real *targets,
    real *gradient, double seed, double update, real *work, double learning_rate)
{
    real loss = 0;
    for (size_t p = 0; p < @NAME@_PARAMETERS; p++) {
        const real now = @name@_batch(parameters, samples, order, inputs, targets, gradient, seed, update, work);
        loss = p == 0 ? now : loss;
        parameters[p] = -gradient[p]*(real) learning_rate + parameters[p];
    }
    return loss;
}
"""
"""What trains besides plain C: batches that are shuffled, and updates of one parameter after the other."""


class WasmModel(PlainModel):
    """A model as WebAssembly has it. The parameters are not in it: JavaScript has them, and passes them on."""

    mathematics = "plain/web"

    def __init__(self, request: Request) -> None:
        self._with_javascript = request.libm
        super().__init__(replace(request, libm=False))
        self.start = request.parameters
        if self.start is None and request.train:
            self.start = start_of(self.program)

    def _check_without_library(self) -> None:
        """Raises ModelError if a function is needed that only JavaScript has, and that is excluded."""
        if not self._with_javascript:
            super()._check_without_library()

    @property
    def trained(self) -> bool:
        """Whether the C holds trained parameters: never."""
        return False

    @property
    def constants(self) -> Any:
        """The parameters that the C holds: none."""
        return None

    @property
    def apart(self) -> bool:
        """Whether parameters are a file of their own."""
        return self.start is not None and len(self.start) > FEW

    @property
    def parameter_bytes(self) -> bytes:
        """The parameters as WebAssembly has numbers in memory: little-endian."""
        return bytes(self.start.astype(self.start.dtype.newbyteorder("<")).tobytes())

    @property
    def exports(self) -> tuple[str, ...]:
        """The names in C of the functions that JavaScript calls."""
        training = ("shuffle", "batch", "sweep", *(rule.name for rule in self.rules)) if self.train else ()
        return tuple(f"{self.name}_{function}" for function in ("predict_batch", *training))

    def sources(self) -> dict[str, str]:
        """The C, by the names of its files."""
        lines = Lines()
        lines.include(source(self).rstrip("\n"))
        if self.train:
            noise = "noise + n, " if self.program.noise else ""
            text = TRAINING.replace("@name@", self.name).replace("@NAME@", self.upper).replace("@noise@", noise)
            lines.add("", *runtime_text("shuffle"), "", *text.splitlines())
        return {f"{self.name}.c": str(lines), f"{self.name}.h": header(self)}
