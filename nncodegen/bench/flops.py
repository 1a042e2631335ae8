"""The number of floating-point operations of a task. It is the same for every peer, whatever that really computes.

A layered network: 2*rows*columns for each sample in the forward pass, the same number in the gradient of the weights,
and the same again in the gradient of the input, which the first layer does not need. Activations, biases, the loss and
the update are not counted.

A recurrent layer has the products with its inputs and those with its states in each step.

A transformer has the products of all steps, and in attention those of each step with the steps up to it. Its first
layers are no products.

A convolution has rows*columns = filters*(channels*window), at each position of the window.

A formula: the operations of its simplified program for each sample, where a function such as exp is one operation,
and a multiplication and a subtraction for the update of each parameter. With sequential updates, the operations that
the derivative by each single parameter needs, summed over the parameters.

A gradient of an equation: the operations of the layers, for the value and for each derivative carried through a layer.

The number of steps of a fit differs between peers: its operations are not counted.
"""

from __future__ import annotations

from dataclasses import replace

from nncodegen.bench.moving import Motion, Trajectories
from nncodegen.bench.tasks import Equation, Fit, Gradient, Peaks, PerceptronTask, Prediction, Task
from nncodegen.compiler.ir import Element, Program
from nncodegen.compiler.ir.step import needed
from nncodegen.compiler.passes.simplify import operations
from nncodegen.compiler.pipeline import compile_model


def flops(task: Task) -> int | None:
    """Return the floating-point operations of one step of a task; None for fits and solvers."""
    if isinstance(task, Fit | Motion | Trajectories):
        return None
    if isinstance(task, PerceptronTask):
        program = _simplified(task)
        wanted = [(element,) for element in program.gradient] if task.sequential else [program.gradient]
        return sum(_operations(program, some) + 2 * len(some) for some in wanted)
    if isinstance(task.stack, Peaks):
        program = _simplified(task)
        return task.batch * _operations(program, program.gradient) + 2 * len(task.start)
    products = task.stack.products
    if isinstance(task, Equation):  # for u and three derivatives; those of the first layer are its weights
        return len(task.X) * (2 * products[0] + 4 * 3 * sum(products[1:]))
    if isinstance(task, Gradient):
        return 3 * len(task.X) * sum(products)
    if isinstance(task, Prediction):
        return len(task.X) * sum(products)
    samples = len(task.X) * task.epochs * (task.models or 1)
    return round(samples / task.steps * (3 * sum(products) - products[0]))


def _simplified(task: Task) -> Program:
    program: Program = compile_model(task.model, until="simplify")["simplify"]
    return program


def _operations(program: Program, results: tuple[Element, ...]) -> int:
    """Return the operations of the steps on which some results depend."""
    steps = needed(program.steps, results)
    return operations(replace(program, steps=steps, outputs=results, loss=None, gradient=()))
