"""The parts of a model that become WebAssembly: plain C without a library, and its description for JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

from nncodegen.compiler.emit.lines import Lines
from nncodegen.formats.c.model import PlainModel
from nncodegen.formats.c.plain import header, source
from nncodegen.formats.c.runtime_headers import runtime_text
from nncodegen.formats.export.initial_parameters import start_of
from nncodegen.formats.export.request import Request
from nncodegen.formats.wasm.training import WebTraining

FEW = 64
"""The most parameters that are written into the JavaScript, where they are readable; more are a separate file."""


class WasmModel(PlainModel):
    """A model for WebAssembly. The parameters are not in it: JavaScript has them, and passes them on."""

    mathematics = "plain/web"

    def __init__(self, request: Request) -> None:
        self._with_javascript = request.options.libm
        super().__init__(replace(request, options=request.options.changed(libm=False)))
        self.start = request.parameters
        if self.start is None and request.options.train:
            self.start = start_of(self.program)

    def _check_without_library(self) -> None:
        """Raise ModelError if a function is needed that only JavaScript has, and that is excluded."""
        if not self._with_javascript:
            super()._check_without_library()

    @property
    def trained(self) -> bool:
        """Return False: the C holds no trained parameters."""
        return False

    @property
    def constants(self) -> Any:
        """Return None: the C holds no parameters."""
        return None

    @property
    def apart(self) -> bool:
        """Return whether the parameters are a separate file."""
        return self.start is not None and len(self.start) > FEW

    @property
    def parameter_bytes(self) -> bytes:
        """Return the parameters in WebAssembly's memory format: little-endian."""
        return bytes(self.start.astype(self.start.dtype.newbyteorder("<")).tobytes())

    @property
    def exports(self) -> tuple[str, ...]:
        """Return the names in C of the functions that JavaScript calls."""
        return (
            "place_for",
            "predict_rows",
            *(("begin_training", "train_epoch") if self.train else ()),
            *(("step_token", "generate_tokens") if self.step else ()),
        )

    @cached_property
    def training(self) -> WebTraining:
        """Return the options of a training."""
        return WebTraining(self.name, self.rules)

    def sources(self) -> dict[str, str]:
        """Return the C, by the names of its files."""
        lines = Lines()
        lines.include(source(self).rstrip("\n"))
        lines.add("", *self._macros(), "", *runtime_text("plain/web_rows"))
        if self.step:
            lines.add("", *runtime_text("plain/web_steps"))
        if self.train:
            lines.add("", *runtime_text("train/shuffle"), "", *self._training_macros())
            lines.add("", *self.training.update().splitlines(), "", *runtime_text("plain/web_training"))
        return {f"{self.name}.c": str(lines), f"{self.name}.h": header(self)}

    def _macros(self) -> Iterator[str]:
        """Yield the macros that predictions need to know of the model."""
        yield f'#define MODEL "{self.name}"'
        yield from (f"#define {size} {count}" for size, count in self.sizes.items())
        yield f"#define PREDICT {self.name}_predict_batch"
        if self.step:
            yield f"#define STEP {self.name}_step"

    def _training_macros(self) -> Iterator[str]:
        """Yield the macros that training needs to know of the model."""
        noise = "noise, " if self.program.noise else ""
        yield "#define ADD_GRADIENT(parameters, inputs, targets, weight, gradient, noise, work) \\"
        yield f"    {self.name}_add_gradient(parameters, inputs, targets, weight, gradient, {noise}work)"
        yield f"#define LABELS {int(bool(self.program.task.labels))}"
        yield from self.training.macros()
