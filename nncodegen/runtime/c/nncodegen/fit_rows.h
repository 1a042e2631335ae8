/* The common part of the rows of a fit, for any loss.

   Needs fit_memory.h. Gives take_rows, is_finite_triangle, size_of_cost, and the ways in which an evaluation ends. */

#ifndef NNCODEGEN_FIT_ROWS_H
#define NNCODEGEN_FIT_ROWS_H

#include "fit_memory.h"

/* How the evaluation of all rows has ended. */
enum { EVALUATED, TOO_HIGH, NOT_FINITE, STOPPED, NOT_CONVEX };

/* Makes the rows of the system for one output from the rows of the kernel: those of the Jacobian by the free
   parameters, times their factors, and the residuals as right-hand side. The rows are padded with 0 to whole
   vectors. */
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

/* Returns whether a triangle is finite: a value that is not finite shows on its diagonal, or right of it. */
static UNUSED int is_finite_triangle(const double *triangle, size_t n)
{
    double sum = 0;
    for (size_t j = 0; j < n; j++)
        sum += triangle[j*TRIANGLE_ROW + j]*0 + triangle[j*TRIANGLE_ROW + n]*0;
    return sum == 0;
}

/* Returns the size of the cost, which may have any sign if FIT_CURVED. */
INLINE double size_of_cost(const fit_memory *m)
{
    return FIT_CURVED ? m->sums.chi2 : m->sums.cost;
}

#endif
