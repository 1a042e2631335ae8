/* The order of parameters in memory during training: some matrices are transposed then.

   Needs base.h and, if NN_HAS_TRANSPOSED, transpose.h and NN_TRANSPOSED, {first parameter, rows, columns} of each
   such matrix. Gives arrange and place_of. */

#ifndef NNCODEGEN_ORDER_H
#define NNCODEGEN_ORDER_H

#include "base.h"

#if NN_HAS_TRANSPOSED
#include "transpose.h"

/* The matrices of parameters that are transposed in the loops of the gradient. Everywhere else they are stored by
   rows. */
static const struct {size_t first, rows, columns;} transposed[] = {NN_TRANSPOSED};

/* Copies an array with a value for each parameter into the order of the loops of the gradient, or back from it. */
static UNUSED void arrange(const real *restrict from, real *restrict to, int back)
{
    memcpy(to, from, PARAMETERS*sizeof(real));
    for (size_t k = 0; k < sizeof transposed/sizeof *transposed; k++) {
        const size_t first = transposed[k].first, rows = back ? transposed[k].columns : transposed[k].rows;
        const size_t columns = back ? transposed[k].rows : transposed[k].columns;
        transpose(columns, rows, from + first, columns, to + first, rows, rows);
    }
}

/* Returns the position of a parameter in that order. The position of the first parameter, 0, is 0. */
static UNUSED size_t place_of(size_t p)
{
    for (size_t k = 0; k < sizeof transposed/sizeof *transposed; k++) {
        const size_t first = transposed[k].first, rows = transposed[k].rows, columns = transposed[k].columns;
        if (first <= p && p < first + rows*columns)
            return first + (p - first)%columns*rows + (p - first)/columns;
    }
    return p;
}
#else
static UNUSED void arrange(const real *restrict from, real *restrict to, int back)
{
    (void) back;
    memcpy(to, from, PARAMETERS*sizeof(real));
}

static UNUSED size_t place_of(size_t p)
{
    return p;
}
#endif

#endif
