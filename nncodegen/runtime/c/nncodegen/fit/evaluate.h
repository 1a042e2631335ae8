/* The evaluation of all rows of a fit at given parameters: of residuals, with errors in the inputs or without, or of a
   loss that is convex in the outputs.

   Needs convex.h, errors_rows.h, penalty.h and residuals.h. Gives evaluate. */

#ifndef NNCODEGEN_EVALUATE_H
#define NNCODEGEN_EVALUATE_H

#include "nncodegen/fit/convex.h"
#include "nncodegen/fit/errors_rows.h"
#include "nncodegen/fit/penalty.h"
#include "nncodegen/fit/residuals.h"

/* Computes the sums of the data alone: see evaluate. */
static HOT int evaluate_all_rows(NN(fitting) *run, fit_memory *m, const real *parameters, double *triangle, double limit,
    residual_sums *sums)
{
    if (FIT_CURVED)
        return evaluate_convex(run, m, parameters, triangle, limit, sums);
    if (m->errors)
        return evaluate_errors(run, m, parameters, triangle, limit, sums);
    return evaluate_squares(run, m, parameters, triangle, limit, sums);
}

/* Computes the sums at some parameters, and the triangle, which is useless if the cost is above the limit. Returns how
   it ended. */
static HOT int evaluate(NN(fitting) *run, fit_memory *m, const real *parameters, double *triangle, double limit,
    residual_sums *sums)
{
    const int found = evaluate_all_rows(run, m, parameters, triangle, limit, sums);
    if (run->penalty_rows == 0 || (found != EVALUATED && found != TOO_HIGH))
        return found;
    add_penalty(run, parameters, sums);
    if (sums->cost > limit)
        return TOO_HIGH;
    fold_penalty(run, m, parameters, triangle);
    return sums->cost - sums->cost == 0 && is_finite_triangle(triangle, m->n) ? EVALUATED : NOT_FINITE;
}

#endif
