"""The rules of ``stabilize``; each states its algebra.

A rule is a function of one node, whose operands are already in stable form. It returns the new node, or None if it does
not apply.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy
from sympy import Add, Expr, Heaviside, Mul, Piecewise, Pow, exp, log
from sympy.codegen.cfunctions import Sqrt
from sympy.logic.boolalg import ITE

from nncodegen.compiler.ir.elementary import RECORDS
from nncodegen.compiler.ir.functions import sech, xlogy
from nncodegen.compiler.passes.rules.holes import (
    difference_of_cosines_over_square,
    difference_over_argument,
    function_over_argument,
    function_over_function,
    removable_singularity,
    vanishing_times_log,
)
from nncodegen.compiler.passes.rules.logarithms import log_near_one, log_of_expm1, log_of_factors, log_of_product
from nncodegen.compiler.passes.rules.powers import (
    exponential,
    power_of_exponentials,
    power_of_sigmoid,
    power_of_sum_with_one,
    reciprocal_of_cosh,
    reciprocal_of_expm1,
    reciprocal_of_sum_with_quotients,
    reciprocal_with_any_factors,
)
from nncodegen.compiler.passes.rules.products import (
    exponential_times_bose_einstein,
    exponential_times_erfc,
    exponential_times_sigmoid,
    product_of_exponentials,
    product_with_choice,
    share_of_a_sum,
    sinh_over_cosh,
    tanh_from_exponentials,
)
from nncodegen.compiler.passes.rules.single_functions import (
    by_and_or,
    by_primitives,
    defined_branches,
    own_tanh,
    sign_function,
    softmax_of_formula,
    square_root,
    step_function,
)
from nncodegen.compiler.passes.rules.sums import complement, difference_of_poles, sigmoid_to_tanh

Rule = Callable[[Expr], Expr | None]

RULES: dict[type, tuple[Rule, ...]] = {
    Pow: (
        exponential,
        power_of_exponentials,
        power_of_sigmoid,
        reciprocal_of_cosh,
        reciprocal_of_expm1,
        reciprocal_with_any_factors,
        reciprocal_of_sum_with_quotients,
        power_of_sum_with_one,
    ),
    exp: (softmax_of_formula,),
    log: (log_of_factors, log_of_expm1, log_near_one),
    xlogy: (log_of_product,),
    Add: (sigmoid_to_tanh, complement, difference_of_poles),
    Mul: (
        product_of_exponentials,
        exponential_times_sigmoid,
        exponential_times_bose_einstein,
        exponential_times_erfc,
        sinh_over_cosh,
        tanh_from_exponentials,
        difference_over_argument,
        difference_of_cosines_over_square,
        function_over_function,
        function_over_argument,
        vanishing_times_log,
        product_with_choice,
        share_of_a_sum,
        removable_singularity,
    ),
    sympy.tanh: (own_tanh,),
    Sqrt: (square_root,),
    Piecewise: (defined_branches,),
    ITE: (by_and_or,),
    Heaviside: (step_function,),
    sympy.sign: (sign_function,),
    sympy.sech: (by_primitives(sech),),
    **{record.function: (by_primitives(record.written),) for record in RECORDS if record.written},
}
"""The rules for each class of nodes, in the order in which they are tried, up to the first that applies."""
