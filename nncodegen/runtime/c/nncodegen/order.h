/* The order in which parameters lie while they are trained: some matrices are transposed then.

   Needs base.h and, where NN_HAS_TRANSPOSED, transpose.h and NN_TRANSPOSED, {first parameter, rows, columns} of each
   such matrix. Gives arrange and place_of. */

#ifndef NNCODEGEN_ORDER_H
#define NNCODEGEN_ORDER_H

#include "base.h"

#if NN_HAS_TRANSPOSED
#include "transpose.h"

/* The matrices of parameters whose columns lie side by side in the loops of the gradient: everywhere else their rows
   do. */
static const struct {size_t first, rows, columns;} transposed[] = {NN_TRANSPOSED};

/* Copies parameters, or a value of each of them, into the order of the loops of the gradient, or back. */
static UNUSED void arrange(const real *restrict from, real *restrict to, int back)
{
    memcpy(to, from, PARAMETERS*sizeof(real));
    for (size_t k = 0; k < sizeof transposed/sizeof *transposed; k++) {
        const size_t first = transposed[k].first, rows = back ? transposed[k].columns : transposed[k].rows;
        const size_t columns = back ? transposed[k].rows : transposed[k].columns;
        transpose(columns, rows, from + first, columns, to + first, rows, rows);
    }
}

/* Where a parameter lies in that order; the first of all stays where it is. */
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
