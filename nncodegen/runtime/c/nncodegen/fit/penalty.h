/* A penalty: squares of functions that are linear in the parameters, half of which are added to the cost of a fit. The
   data have no part in it: it moves parameters where they are expected, or to where a prediction has some value.

   Needs fit_rows.h. Gives add_penalty, fold_penalty, fall_of_penalty. */

#ifndef NNCODEGEN_PENALTY_H
#define NNCODEGEN_PENALTY_H

#include "nncodegen/fit/fit_rows.h"

/* Returns a row of the penalty: derivatives by all parameters, then the value where they are 0. */
INLINE const double *row_of_penalty(const NN(fitting) *run, size_t number)
{
    return run->penalty + number*((size_t) PARAMETERS + 1);
}

static COLD double value_of_penalty(const double *row, const real *parameters)
{
    double value = row[PARAMETERS];
    for (size_t p = 0; p < PARAMETERS; p++)
        value += row[p]*(double) parameters[p];
    return value;
}

/* Adds the penalty to the sums at some parameters. */
static COLD void add_penalty(const NN(fitting) *run, const real *parameters, residual_sums *sums)
{
    for (size_t number = 0; number < run->penalty_rows; number++) {
        const double value = value_of_penalty(row_of_penalty(run, number), parameters), half = value*value/2;
        sums->cost += half;
        sums->chi2 += FIT_CURVED ? half : 0; /* there it is the size of the cost */
    }
}

/* Folds the rows of the penalty into the triangle at some parameters, right after the rows of the data. */
static COLD void fold_penalty(const NN(fitting) *run, fit_memory *m, const real *parameters, double *triangle)
{
    for (size_t number = 0; number < run->penalty_rows; number++) {
        const double *const row = row_of_penalty(run, number), value = value_of_penalty(row, parameters);
        for (size_t k = 0; k <= m->n; k++) {
            double *const column = m->columns + k*COLUMN;
            for (size_t n = 0; n < whole_rows(1); n++)
                column[n] = 0;
            column[0] = k < m->n ? row[m->free[k]] : FIT_CURVED ? 0 : value;
        }
        fold(triangle, 0, m->n, m->columns, whole_rows(1), m->products);
        for (size_t k = 0; FIT_CURVED && k < m->n; k++)
            m->slope[k] += row[m->free[k]]*value;
    }
    for (size_t k = 0; FIT_CURVED && k < m->n; k++)
        triangle[k*TRIANGLE_ROW + m->n] = m->slope[k]; /* the gradient, beside the triangle: see convex.h */
}

/* Returns how much the step lowers the penalty; and, added to slope, the part due to its gradient alone. */
static COLD double fall_of_penalty(const NN(fitting) *run, const fit_memory *m, double *slope)
{
    double fall = 0;
    for (size_t number = 0; number < run->penalty_rows; number++) {
        const double *const row = row_of_penalty(run, number), value = value_of_penalty(row, m->parameters);
        double change = 0;
        for (size_t k = 0; k < m->n; k++)
            change += row[m->free[k]]*m->step[k];
        fall -= change*value + change*change/2;
        *slope += change*value;
    }
    return fall;
}

#endif
