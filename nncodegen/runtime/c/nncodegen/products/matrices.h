/* Products of whole matrices, of any size, whose rows need no padding. The places after the last row of b must lie in
   memory, as vectors may reach there; what they hold does not matter.

   Needs products.h. Gives multiply_matrices, multiply_below, multiply_above, clear_below, clear_above; and for a part
   of the rows of a triangle multiply_below_from, multiply_above_from, clear_above_from; for terms with a mask
   multiply_where. */

#ifndef NNCODEGEN_MATRICES_H
#define NNCODEGEN_MATRICES_H

#include "nncodegen/products/products.h"

/* The rows of a triangle that are multiplied at once, with all terms that one of them has: how a long sum is cut into
   parts depends on it. */
enum { BAND = NN_SAME_BITS ? 32 : 4*BLOCK_ROWS };

/* Computes out[r][c] = sum(k) a[r*a_row + k*a_inner]*b[k*b_inner + c*b_column]; if scale is not 0, adds scale times
   that to out. If b_column is not 1, b_inner is 1. */
static HOT void multiply_matrices(size_t rows, size_t columns, size_t inner, const real *restrict a, size_t a_row,
    size_t a_inner, const real *restrict b, size_t b_inner, size_t b_column, real *restrict out, size_t out_row,
    real scale)
{
    const size_t whole = columns/LANES*LANES;
    if (whole)
        contract(rows, whole, inner, a, a_row, a_inner, b, b_inner, b_column, out, out_row, NULL, scale);
    contract_ends(rows, columns, inner, a, a_row, a_inner, b, b_inner, b_column, out, out_row, scale);
}

/* Sets the rows from first on to 0. */
static HOT void clear_rows(size_t first, size_t rows, size_t columns, real *restrict out, size_t out_row)
{
    for (size_t r = first; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            out[r*out_row + c] = 0;
}

/* Computes what multiply_below_from does (below: k <= first + r) or multiply_above (first is 0), term by term. */
static COLD void multiply_exactly(int below, size_t first, size_t rows, size_t columns, size_t inner,
    const real *restrict a, size_t a_row, size_t a_inner, const real *restrict b, size_t b_inner, size_t b_column,
    real *restrict out, size_t out_row)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) {
            const size_t begin = below ? 0 : r, end = below && first + r + 1 < inner ? first + r + 1 : inner;
            real sum = 0;
            for (size_t k = begin; k < end; k++)
                sum += a[r*a_row + k*a_inner]*b[k*b_inner + c*b_column];
            out[r*out_row + c] = sum;
        }
}

/* Returns whether all values of a row are finite, which is often as short as a head is wide. */
INLINE int finite_row(const real *row, size_t columns)
{
    if (columns > 8)
        return few_finite(row, columns);
    real sum = 0;
    for (size_t c = 0; c < columns; c++)
        sum += row[c]*0;
    return sum == 0;
}

/* Like multiply_matrices, where the terms with k > r do not exist; a is 0 there. Blocks of rows take in terms that do
   not exist if these are close to others: they are 0, unless b is infinite or NaN. Then the last row, which has all
   terms, is so as well, and each term is looked at. */
static HOT void multiply_below(size_t rows, size_t columns, size_t inner, const real *restrict a, size_t a_row,
    size_t a_inner, const real *restrict b, size_t b_inner, size_t b_column, real *restrict out, size_t out_row,
    real scale)
{
    for (size_t r = 0; r < rows; r += BAND) {
        const size_t own = rows - r < BAND ? rows - r : BAND, end = r + own < inner ? r + own : inner;
        multiply_matrices(own, columns, end, a + r*a_row, a_row, a_inner, b, b_inner, b_column, out + r*out_row,
            out_row, scale);
    }
    if (scale == 0 && !finite_row(out + (rows - 1)*out_row, columns))
        multiply_exactly(1, 0, rows, columns, inner, a, a_row, a_inner, b, b_inner, b_column, out, out_row);
}

/* Like multiply_below, where the terms with k < r do not exist: the first row has all terms. */
static HOT void multiply_above(size_t rows, size_t columns, size_t inner, const real *restrict a, size_t a_row,
    size_t a_inner, const real *restrict b, size_t b_inner, size_t b_column, real *restrict out, size_t out_row,
    real scale)
{
    const size_t end = inner < rows ? inner : rows; /* the rows from here on have no terms */
    for (size_t r = 0; r < end; r += BAND) {
        const size_t own = end - r < BAND ? end - r : BAND;
        multiply_matrices(own, columns, inner - r, a + r*a_row + r*a_inner, a_row, a_inner, b + r*b_inner, b_inner,
            b_column, out + r*out_row, out_row, scale);
    }
    if (scale == 0)
        clear_rows(end, rows, columns, out, out_row);
    if (scale == 0 && !finite_row(out, columns))
        multiply_exactly(0, 0, rows, columns, inner, a, a_row, a_inner, b, b_inner, b_column, out, out_row);
}

/* Computes what multiply_where does, term by term. */
static COLD void multiply_where_exactly(const real *restrict mask, size_t mask_row, size_t mask_inner, size_t rows,
    size_t columns, size_t inner, const real *restrict a, size_t a_row, size_t a_inner, const real *restrict b,
    size_t b_inner, size_t b_column, real *restrict out, size_t out_row, real scale)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) {
            real sum = 0;
            for (size_t k = 0; k < inner; k++)
                if (mask[r*mask_row + k*mask_inner] == 1)
                    sum += a[r*a_row + k*a_inner]*b[k*b_inner + c*b_column];
            out[r*out_row + c] = scale == 0 ? sum : out[r*out_row + c] + scale*sum;
        }
}

/* Like multiply_matrices, for the terms whose mask is 1; a is 0 elsewhere. Only what is infinite or NaN in b could
   still get into a sum there. If sums are added to out, this is found in b; otherwise in the result, which is smaller
   than b where few rows have many terms. */
static HOT void multiply_where(const real *restrict mask, size_t mask_row, size_t mask_inner, size_t rows,
    size_t columns, size_t inner, const real *restrict a, size_t a_row, size_t a_inner, const real *restrict b,
    size_t b_inner, size_t b_column, real *restrict out, size_t out_row, real scale)
{
    real unknown = 0;
    for (size_t k = 0; scale != 0 && k < inner; k++)
        for (size_t c = 0; c < columns; c++)
            unknown += b[k*b_inner + c*b_column]*0;
    if (unknown == 0)
        multiply_matrices(rows, columns, inner, a, a_row, a_inner, b, b_inner, b_column, out, out_row, scale);
    for (size_t r = 0; scale == 0 && r < rows; r++)
        unknown += finite_row(out + r*out_row, columns) ? 0 : (real) NAN;
    if (unknown != 0)
        multiply_where_exactly(mask, mask_row, mask_inner, rows, columns, inner, a, a_row, a_inner, b, b_inner,
            b_column, out, out_row, scale);
}

/* Sets the values to 0 whose column is after their row. */
static HOT void clear_above(size_t rows, size_t columns, real *restrict out, size_t out_row)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = r + 1; c < columns; c++)
            out[r*out_row + c] = 0;
}

/* Like multiply_below, for the rows from first on: the terms with k > first + r do not exist. */
static HOT void multiply_below_from(size_t first, size_t rows, size_t columns, size_t inner, const real *restrict a,
    size_t a_row, size_t a_inner, const real *restrict b, size_t b_inner, size_t b_column, real *restrict out,
    size_t out_row, real scale)
{
    const size_t end = first + rows < inner ? first + rows : inner;
    multiply_matrices(rows, columns, end, a, a_row, a_inner, b, b_inner, b_column, out, out_row, scale);
    if (scale == 0 && !finite_row(out + (rows - 1)*out_row, columns))
        multiply_exactly(1, first, rows, columns, inner, a, a_row, a_inner, b, b_inner, b_column, out, out_row);
}

/* Like multiply_above, for the terms from first on: those with first + k < r do not exist. Sums over many terms are
   added part by part, so if b is infinite or NaN, this is found before. */
static HOT void multiply_above_from(size_t first, size_t rows, size_t columns, size_t inner, const real *restrict a,
    size_t a_row, size_t a_inner, const real *restrict b, size_t b_inner, size_t b_column, real *restrict out,
    size_t out_row, real scale)
{
    const size_t end = first + inner < rows ? first + inner : rows;
    real unknown = 0;
    for (size_t k = 0; k < inner; k++)
        for (size_t c = 0; c < columns; c++)
            unknown += b[k*b_inner + c*b_column]*0;
    if (scale == 0)
        clear_rows(end, rows, columns, out, out_row);
    if (unknown == 0) {
        multiply_matrices(end, columns, inner, a, a_row, a_inner, b, b_inner, b_column, out, out_row, scale);
        return;
    }
    for (size_t r = 0; r < end; r++)
        for (size_t c = 0; c < columns; c++) {
            real sum = 0;
            for (size_t k = r > first ? r - first : 0; k < inner; k++)
                sum += a[r*a_row + k*a_inner]*b[k*b_inner + c*b_column];
            out[r*out_row + c] = scale == 0 ? sum : out[r*out_row + c] + scale*sum;
        }
}

/* Sets the values to 0 whose column is after their row, for the rows from first on. */
static HOT void clear_above_from(size_t first, size_t rows, size_t columns, real *restrict out, size_t out_row)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = first + r + 1; c < columns; c++)
            out[r*out_row + c] = 0;
}

/* Sets the values to 0 whose column is before their row. */
static HOT void clear_below(size_t rows, size_t columns, real *restrict out, size_t out_row)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < r && c < columns; c++)
            out[r*out_row + c] = 0;
}

#endif
