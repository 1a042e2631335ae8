/* The common part of the rows of a fit, for any loss.

   Needs fit_memory.h. Gives take_rows, is_finite_triangle, size_of_cost, and the ways in which an evaluation ends. */

#ifndef NNCODEGEN_FIT_ROWS_H
#define NNCODEGEN_FIT_ROWS_H

#include "nncodegen/fit/fit_memory.h"

/* How the evaluation of all rows has ended. */
enum { EVALUATED, TOO_HIGH, NOT_FINITE, STOPPED, NOT_CONVEX };

/* Calls a function with the length of a row, as a constant for the rows of few parameters: its loops over samples then
   take three quarters of the time. */
#define WITH_ROW_LENGTH(function, ...) \
    switch ((size_t) OUTPUTS) { \
    case 2: function(2, __VA_ARGS__); break; \
    case 3: function(3, __VA_ARGS__); break; \
    case 4: function(4, __VA_ARGS__); break; \
    case 5: function(5, __VA_ARGS__); break; \
    case 6: function(6, __VA_ARGS__); break; \
    default: function(OUTPUTS, __VA_ARGS__); \
    }

/* Copies the derivatives by the free parameters, times the factors of their rows, into columns. */
INLINE void take_columns(const size_t row, size_t count, size_t output, const double *restrict factors, fit_memory *m)
{
    for (size_t k = 0; k < m->n; k++) {
        const real *const from = derivatives_of(output, m->rows) + m->free[k]*BETWEEN;
        double *const to = m->columns + k*COLUMN;
        for (size_t n = 0; n < count; n++) {
            const double value = (double) from[n*row]*factors[n];
            to[n] = factors[n] != 0 ? value : 0;
        }
    }
}

/* Makes the rows of the system for one output from the rows of the kernel: those of the Jacobian by the free
   parameters, times their factors, and the residuals as right-hand side. The rows are padded with 0 to whole
   vectors. */
static HOT void take_rows(size_t count, size_t output, fit_memory *m)
{
    const double *const factors = m->factors + output*FOLDED_ROWS, *const residuals = m->residuals + output*FOLDED_ROWS;
    const size_t rows = whole_rows(count);
    double *const last = m->columns + m->n*COLUMN;
    WITH_ROW_LENGTH(take_columns, count, output, factors, m)
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
