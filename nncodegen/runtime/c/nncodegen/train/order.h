/* The order of parameters in memory during training: some matrices are transposed then.

   Needs ranges.h and transpose.h. Gives arrange and arranged_place. */

#ifndef NNCODEGEN_ORDER_H
#define NNCODEGEN_ORDER_H

#include "nncodegen/train/ranges.h"
#include "nncodegen/products/transpose.h"

/* Copies an array with a value for each parameter into the order of the loops of the gradient, or back from it. */
static UNUSED void arrange(const real *restrict from, real *restrict to, int back)
{
    memcpy(to, from, PARAMETERS*sizeof(real));
    for (size_t k = 0; k < special.transposed_count; k++) {
        const stored_matrix *const each = special.transposed + k;
        const size_t rows = back ? each->columns : each->rows, columns = back ? each->rows : each->columns;
        transpose(columns, rows, from + each->first, columns, to + each->first, rows, rows);
    }
}

/* Returns the position of a parameter in that order. The position of the first parameter, 0, is 0. */
static UNUSED size_t arranged_place(size_t p)
{
    for (size_t k = 0; k < special.transposed_count; k++) {
        const size_t first = special.transposed[k].first, rows = special.transposed[k].rows;
        const size_t columns = special.transposed[k].columns;
        if (first <= p && p < first + rows*columns)
            return first + (p - first)%columns*rows + (p - first)/columns;
    }
    return p;
}

#endif
