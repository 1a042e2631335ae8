/* The rows of a least-squares problem at given parameters: residuals, their cost, and the triangle of the Jacobian.

   Needs fit_rows.h, guards.h and robust.h. Gives evaluate_squares, report_residuals, squares_of_outputs. */

#ifndef NNCODEGEN_RESIDUALS_H
#define NNCODEGEN_RESIDUALS_H

#include "nncodegen/fit/fit_rows.h"
#include "nncodegen/fit/guards.h"
#include "nncodegen/fit/robust.h"

enum { WEIGHED = 64 }; /* residuals to which a robust loss is applied at once */

/* Returns the divisor of a residual. */
INLINE double sigma_of(const NN(fitting) *run, size_t sample, size_t output)
{
    if (!run->sigma)
        return 1;
    return (double) run->sigma[run->sigmas == 0 ? 0 : run->sigmas == 1 ? sample : sample*FIT_OUTPUTS + output];
}

/* Returns the sum of the squared outputs of a tile, each divided by its sigma, for targets that are not missing. */
static COLD double squares_of_outputs(const NN(fitting) *run, size_t first, size_t count, const fit_memory *m)
{
    double squares = 0;
    for (size_t n = 0; n < count; n++) {
        for (size_t k = 0; k < FIT_OUTPUTS; k++) {
            const double target = (double) run->targets[(first + n)*FIT_OUTPUTS + k];
            const double value = (double) m->rows.rows[n*OUTPUTS + k]/sigma_of(run, first + n, k);
            squares += target == target ? value*value : 0;
        }
    }
    return squares;
}

/* Computes the residuals of one output of a tile, and adds to the sums of their squares and of those that are not
   missing. The factor of a missing target is 0. between is the distance between the targets of two samples. */
INLINE void subtract_targets(const size_t row, const size_t between, size_t count, const real *restrict targets,
    const real *restrict outputs, double *restrict factors, double *restrict residuals, double *restrict sums)
{
    double squares = 0, used = 0;
    SUM_LOOP(squares, used)
    for (size_t n = 0; n < count; n++) {
        const double target = (double) targets[n*between], value = (double) outputs[n*row];
        const int known = target == target;
        const double factor = known ? factors[n] : 0, residual = known ? (value - target)*factor : 0;
        factors[n] = factor;
        residuals[n] = residual;
        squares += residual*residual;
        used += known;
    }
    sums[0] = squares;
    sums[1] = used;
}

/* Computes the residuals of one output of a tile, and the factor of each row of its Jacobian, and adds to the sums. */
static HOT void take_residuals(const NN(fitting) *run, int robust, size_t first, size_t count, size_t output,
    fit_memory *m, residual_sums *sums)
{
    const real *const targets = run->targets + first*FIT_OUTPUTS + output, *const outputs = m->rows.rows + output;
    double *const residuals = m->residuals + output*FOLDED_ROWS, *const factors = m->factors + output*FOLDED_ROWS;
    double found[2];
    if (!run->sigma || run->sigmas == 0) {
        const double factor = 1/sigma_of(run, 0, 0);
        for (size_t n = 0; n < count; n++)
            factors[n] = factor;
    } else {
        for (size_t n = 0; n < count; n++)
            factors[n] = 1/sigma_of(run, first + n, output);
    }
    if (FIT_OUTPUTS == 1)
        WITH_ROW_LENGTH(subtract_targets, 1, count, targets, outputs, factors, residuals, found)
    else
        subtract_targets(OUTPUTS, FIT_OUTPUTS, count, targets, outputs, factors, residuals, found);
    sums->chi2 += found[0];
    sums->used += (size_t) found[1];
    if (robust == NN(LINEAR)) {
        sums->cost += found[0]/2;
        return;
    }
    for (size_t begin = 0; begin < count; begin += WEIGHED) {
        const size_t some = count - begin < WEIGHED ? count - begin : WEIGHED;
        double costs[WEIGHED] = {0};
        add_robust(robust, run->robust_scale, some, residuals + begin, factors + begin, costs);
        for (size_t n = 0; n < some; n++)
            sums->cost += costs[n];
    }
}

/* Computes the sums at some parameters, and the triangle, unless the cost is above the limit: then it is left out,
   and so are the remaining samples once the cost is a hundred times as high. */
static HOT int evaluate_squares(NN(fitting) *run, fit_memory *m, const real *parameters, double *triangle, double limit,
    residual_sums *sums)
{
    const double far = 100*limit;
    *sums = (residual_sums) {0, 0, 0};
    memset(triangle, 0, m->n*TRIANGLE_ROW*sizeof *triangle);
    begin_guards(m);
    prepare_rows(parameters, run->samples, m->rows);
    for (size_t first = 0; first < run->samples; first += TILE) {
        const size_t count = run->samples - first < TILE ? run->samples - first : TILE;
        for (size_t output = 0; output < FIT_OUTPUTS; output++) {
            rows_of_output(parameters, run->inputs, first, count, output, m->rows);
            for (size_t k = 0; output == 0 && k < FIT_OUTPUTS; k++)
                take_residuals(run, run->robust, first, count, k, m, sums);
            if (crosses_pole(output, count, m))
                return NOT_FINITE;
            if (!(sums->cost <= limit))
                break;
            take_rows(count, output, m);
            fold(triangle, 0, m->n, m->columns, whole_rows(count), m->products);
        }
        if (!(sums->cost <= far))
            return sums->cost > far ? TOO_HIGH : NOT_FINITE;
        if (stopped(&run->poll, (double) FIT_OUTPUTS*OPERATIONS*(double) count))
            return STOPPED;
    }
    if (sums->cost > limit)
        return TOO_HIGH;
    return sums->cost - sums->cost == 0 && is_finite_triangle(triangle, m->n) ? EVALUATED : NOT_FINITE;
}

/* Writes the residuals at the parameters, without a robust loss. */
static COLD void report_residuals(NN(fitting) *run, fit_memory *m)
{
    residual_sums sums = {0, 0, 0};
    seed(0, m->rows);
    prepare_rows(m->parameters, run->samples, m->rows);
    for (size_t first = 0; first < run->samples; first += TILE) {
        const size_t count = run->samples - first < TILE ? run->samples - first : TILE;
        rows_of_tile(m->parameters, run->inputs, first, count, m->rows);
        for (size_t k = 0; k < FIT_OUTPUTS; k++) {
            take_residuals(run, NN(LINEAR), first, count, k, m, &sums);
            for (size_t n = 0; n < count; n++) {
                const size_t place = (first + n)*FIT_OUTPUTS + k;
                const int known = run->targets[place] == run->targets[place];
                run->residuals[place] = known ? m->residuals[k*FOLDED_ROWS + n] : (double) NAN;
            }
        }
    }
}

#endif
