/* Copies of matrices, transposed or not, whose rows are padded to whole vectors.

   Needs vectors.h. Gives transpose and pack. */

#ifndef NNCODEGEN_TRANSPOSE_H
#define NNCODEGEN_TRANSPOSE_H

#include "nncodegen/base/vectors.h"

/* Computes to[r][c] = from[r + c*column] for four rows and four columns. */
INLINE void transpose_square(const real *restrict from, size_t column, real *restrict to, size_t row)
{
#if SHUFFLES
    four a[4];
    for (size_t c = 0; c < 4; c++)
        a[c] = *(const unaligned_four *) (from + c*column);
    const four b0 = __builtin_shufflevector(a[0], a[1], 0, 4, 1, 5),
        b1 = __builtin_shufflevector(a[0], a[1], 2, 6, 3, 7),
        b2 = __builtin_shufflevector(a[2], a[3], 0, 4, 1, 5),
        b3 = __builtin_shufflevector(a[2], a[3], 2, 6, 3, 7);
    *(unaligned_four *) to = __builtin_shufflevector(b0, b2, 0, 1, 4, 5);
    *(unaligned_four *) (to + row) = __builtin_shufflevector(b0, b2, 2, 3, 6, 7);
    *(unaligned_four *) (to + 2*row) = __builtin_shufflevector(b1, b3, 0, 1, 4, 5);
    *(unaligned_four *) (to + 3*row) = __builtin_shufflevector(b1, b3, 2, 3, 6, 7);
#else
    for (size_t r = 0; r < 4; r++)
        for (size_t c = 0; c < 4; c++)
            to[r*row + c] = from[r + c*column];
#endif
}

/* Like transpose_square, for eight columns, if a vector holds eight values: two squares at once. */
INLINE void transpose_squares(const real *restrict from, size_t column, real *restrict to, size_t row)
{
#if SHUFFLES
    eight a[4];
    for (size_t c = 0; c < 4; c++) {
        const four first = *(const unaligned_four *) (from + c*column);
        const four second = *(const unaligned_four *) (from + (c + 4)*column);
        a[c] = __builtin_shufflevector(first, second, 0, 1, 2, 3, 4, 5, 6, 7);
    }
    const eight b0 = __builtin_shufflevector(a[0], a[1], 0, 8, 1, 9, 4, 12, 5, 13),
        b1 = __builtin_shufflevector(a[0], a[1], 2, 10, 3, 11, 6, 14, 7, 15),
        b2 = __builtin_shufflevector(a[2], a[3], 0, 8, 1, 9, 4, 12, 5, 13),
        b3 = __builtin_shufflevector(a[2], a[3], 2, 10, 3, 11, 6, 14, 7, 15);
    *(unaligned_eight *) to = __builtin_shufflevector(b0, b2, 0, 1, 8, 9, 4, 5, 12, 13);
    *(unaligned_eight *) (to + row) = __builtin_shufflevector(b0, b2, 2, 3, 10, 11, 6, 7, 14, 15);
    *(unaligned_eight *) (to + 2*row) = __builtin_shufflevector(b1, b3, 0, 1, 8, 9, 4, 5, 12, 13);
    *(unaligned_eight *) (to + 3*row) = __builtin_shufflevector(b1, b3, 2, 3, 10, 11, 6, 7, 14, 15);
#else
    transpose_square(from, column, to, row);
    transpose_square(from + 4*column, column, to + 4, row);
#endif
}

/* Computes out[r][c] = a[r + c*a_column], in rows that are padded to some length with their last value. Squares of
   four by four are transposed in registers. If fewer than four rows or columns are left, the last square overlaps
   the one before it; a matrix with fewer than four is copied value by value. */
static HOT void transpose(size_t rows, size_t columns, const real *restrict a, size_t a_column, real *restrict out,
    size_t out_row, size_t padded)
{
    const int two = VECTOR_BYTES >= 8*sizeof(real);
    const size_t squares = rows >= 4 && columns >= 4 ? rows : 0, single = squares ? 0 : rows;
    for (size_t band = 0; band < squares; band += 4) {
        const size_t r = band + 4 <= rows ? band : rows - 4;
        size_t c = 0;
        for (; two && c + 8 <= columns; c += 8)
            transpose_squares(a + r + c*a_column, a_column, out + r*out_row + c, out_row);
        for (; c < columns; c += 4) {
            const size_t first = c + 4 <= columns ? c : columns - 4;
            transpose_square(a + r + first*a_column, a_column, out + r*out_row + first, out_row);
        }
    }
    for (size_t r = 0; r < single; r++)
        for (size_t c = 0; c < columns; c++)
            out[r*out_row + c] = a[r + c*a_column];
    for (size_t r = 0; r < rows; r++)
        pad_row(out + r*out_row, columns, padded);
}

/* Computes out[r][c] = a[r*a_row + c*a_column], in rows that are padded to some length with their last value. */
static HOT void pack(size_t rows, size_t columns, const real *restrict a, size_t a_row, size_t a_column,
    real *restrict out, size_t out_row, size_t padded)
{
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c++)
            out[r*out_row + c] = a[r*a_row + c*a_column];
        pad_row(out + r*out_row, columns, padded);
    }
}

#endif
