/* What the rows of a fit have in common, whatever its loss.

   Needs fit_memory.h. Gives take_rows, is_finite_triangle, size_of_cost, and the ways in which an evaluation ends. */

#ifndef NNCODEGEN_FIT_ROWS_H
#define NNCODEGEN_FIT_ROWS_H

#include "fit_memory.h"

/* How the evaluation of all rows has ended. */
enum { EVALUATED, TOO_HIGH, NOT_FINITE, STOPPED, NOT_CONVEX };

/* The rows of the system that the rows of the kernel are for one output: those of the Jacobian by the free parameters,
   times their factors, and the residuals as right-hand side. Whole vectors of rows; the last are 0. */
static HOT void take_rows(size_t count, size_t output, fit_memory *m)
{
    const double *const factors = m->factors + output*FOLDED_ROWS, *const residuals = m->residuals + output*FOLDED_ROWS;
    const size_t rows = whole_rows(count);
    double *const last = m->columns + m->n*COLUMN;
    for (size_t k = 0; k < m->n; k++) {
        const real *const from = m->rows.rows + DERIVATIVES + m->free[k];
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

/* How large the cost is, which may have any sign where CURVED. */
INLINE double size_of_cost(const fit_memory *m)
{
    return CURVED ? m->sums.chi2 : m->sums.cost;
}

#endif
