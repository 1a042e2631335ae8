/* The rows of a problem of least squares at given parameters: residuals, their cost, and the triangle of the Jacobian.

   Needs fit_memory.h and robust.h. Gives evaluate. */

#ifndef NNCODEGEN_RESIDUALS_H
#define NNCODEGEN_RESIDUALS_H

#include "fit_memory.h"
#include "robust.h"

/* What the residuals of one output are divided by. */
INLINE double sigma_of(const NN(fitting) *run, size_t sample, size_t output)
{
    if (!run->sigma)
        return 1;
    return (double) run->sigma[run->sigmas == 0 ? 0 : run->sigmas == 1 ? sample : sample*FIT_OUTPUTS + output];
}

/* The residuals of one output of a tile, the factor of each row of its Jacobian, and what they add to the sums. What is
   missing has factor 0. */
static HOT void take_residuals(const NN(fitting) *run, int robust, size_t first, size_t count, size_t output,
    fit_memory *m, residual_sums *sums)
{
    const real *const targets = run->targets + first*FIT_OUTPUTS + output, *const outputs = m->rows.rows + output;
    double *const residuals = m->residuals + output*FOLDED_ROWS, *const factors = m->factors + output*FOLDED_ROWS;
    double squares = 0, used = 0;
    if (!run->sigma || run->sigmas == 0) {
        const double factor = 1/sigma_of(run, 0, 0);
        for (size_t n = 0; n < count; n++)
            factors[n] = factor;
    } else {
        for (size_t n = 0; n < count; n++)
            factors[n] = 1/sigma_of(run, first + n, output);
    }
    SUM_LOOP(squares, used)
    for (size_t n = 0; n < count; n++) {
        const double target = (double) targets[n*FIT_OUTPUTS], value = (double) outputs[n*OUTPUTS];
        const int known = target == target;
        const double factor = known ? factors[n] : 0, residual = known ? (value - target)*factor : 0;
        factors[n] = factor;
        residuals[n] = residual;
        squares += residual*residual;
        used += known;
    }
    sums->chi2 += squares;
    sums->used += (size_t) used;
    if (robust == NN(LINEAR)) {
        sums->cost += squares/2;
        return;
    }
    for (size_t n = 0; n < count; n++)
        factors[n] *= robust_terms(robust, run->robust_scale, residuals + n, &sums->cost);
}

/* The rows of the system that the rows of the kernel are for one output: those of the Jacobian by the free parameters,
   times their factors, and the residuals as right-hand side. Whole vectors of rows; the last are 0. */
static HOT void take_rows(size_t count, size_t output, fit_memory *m)
{
    const double *const factors = m->factors + output*FOLDED_ROWS, *const residuals = m->residuals + output*FOLDED_ROWS;
    const size_t rows = whole_rows(count);
    double *const last = m->columns + m->n*COLUMN;
    for (size_t k = 0; k < m->n; k++) {
        const real *const from = m->rows.rows + FIT_OUTPUTS + m->free[k];
        double *const to = m->columns + k*COLUMN;
        for (size_t n = 0; n < count; n++) {
            const double value = (double) from[n*OUTPUTS]*factors[n];
            to[n] = factors[n] != 0 ? value : 0;
        }
    }
    for (size_t n = 0; n < count; n++)
        last[n] = residuals[n];
    for (size_t k = 0; k <= m->n; k++)
        for (size_t n = count; n < rows; n++)
            m->columns[k*COLUMN + n] = 0;
}

/* Whether all of a triangle is finite: what is not in a column is not on its diagonal, or to the right of it. */
static UNUSED int is_finite_triangle(const double *triangle, size_t n)
{
    double sum = 0;
    for (size_t j = 0; j < n; j++)
        sum += triangle[j*TRIANGLE_ROW + j]*0 + triangle[j*TRIANGLE_ROW + n]*0;
    return sum == 0;
}

enum { EVALUATED, TOO_HIGH, NOT_FINITE, STOPPED };

/* The sums at some parameters, and the triangle, unless the cost is above the limit: it is left out then, and so are
   the samples that are left once it is a hundred times as high. */
static HOT int evaluate(NN(fitting) *run, fit_memory *m, const real *parameters, double *triangle, double limit,
    residual_sums *sums)
{
    const double far = 100*limit;
    *sums = (residual_sums) {0, 0, 0};
    memset(triangle, 0, m->n*TRIANGLE_ROW*sizeof *triangle);
    prepare_rows(parameters, run->samples, m->rows);
    for (size_t first = 0; first < run->samples; first += TILE) {
        const size_t count = run->samples - first < TILE ? run->samples - first : TILE;
        for (size_t output = 0; output < FIT_OUTPUTS; output++) {
            rows_of_tile(parameters, run->inputs, first, count, output, m->rows);
            for (size_t k = 0; output == 0 && k < FIT_OUTPUTS; k++)
                take_residuals(run, run->robust, first, count, k, m, sums);
            if (!(sums->cost <= limit))
                break;
            take_rows(count, output, m);
            fold(triangle, 0, m->n, m->columns, whole_rows(count), m->products);
        }
        if (!(sums->cost <= far))
            return sums->cost > far ? TOO_HIGH : NOT_FINITE;
        if (stopped(&run->poll, (double) FIT_OUTPUTS*OPERATIONS_PER_SAMPLE*(double) count))
            return STOPPED;
    }
    if (sums->cost > limit)
        return TOO_HIGH;
    return sums->cost - sums->cost == 0 && is_finite_triangle(triangle, m->n) ? EVALUATED : NOT_FINITE;
}

#endif
