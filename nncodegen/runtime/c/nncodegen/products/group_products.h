/* Products and sums of matrices for a group of models, one in each lane.

   Needs group.h and sums.h. Gives group_product, group_sum. */

#ifndef NNCODEGEN_GROUP_PRODUCTS_H
#define NNCODEGEN_GROUP_PRODUCTS_H

#include "nncodegen/products/group.h"
#include "nncodegen/products/sums.h"

/* The beginnings of the values of a row and of a column, those of the last one if there are fewer, and the values of a
   term for all lanes. */
#define GROUP_ROW(r, ...) const real *const a##r = a + (rows > r ? r : rows - 1)*a_row;
#define GROUP_COLUMN(c, ...) const real *const b##c = b + (columns > c ? c : columns - 1)*b_column;
#define MODELS_OF_A(r, k) load(a##r + k*a_inner)
#define MODELS_OF_B(c, k) load(b##c + k*b_inner)

/* Some rows and 4 columns of a product of each model. If fewer are left, the last is computed again for the missing
   ones, but stored once. */
INLINE void group_block(size_t rows, size_t columns, size_t inner, const real *a, size_t a_row, size_t a_inner,
    const real *b, size_t b_inner, size_t b_column, real *out, size_t out_row, size_t out_column, const real *factor,
    int add)
{
#define KEEP_MODELS(r) \
    keep(s##r##0, out, r*out_row, factor, add, 1); \
    EACH_NEXT_COLUMN(4, KEEP_NEXT_COLUMN, r)
#define KEEP_NEXT_COLUMN(c, r) \
    if (columns > c) \
        keep(s##r##c, out, r*out_row + c*out_column, factor, add, 1);
#define KEEP_NEXT_ROW_OF_MODELS(r, ...) \
    if (rows < r + 1) \
        return; \
    KEEP_MODELS(r)
    const real *const a0 = a;
    EACH_NEXT_ROW(LANE_SUM_ROWS, GROUP_ROW, )
    const real *const b0 = b;
    EACH_NEXT_COLUMN(4, GROUP_COLUMN, )
    ZERO_SUMS(LANE_SUM_ROWS, 4, s)
    for (size_t k = 0; k < inner; k++)
        ADD_VECTORS(LANE_SUM_ROWS, 4, s, MODELS_OF_A, MODELS_OF_B, k)
    KEEP_MODELS(0)
    EACH_NEXT_ROW(LANE_SUM_ROWS, KEEP_NEXT_ROW_OF_MODELS, )
}

/* 8 rows of one column of a product of each model. If fewer are left, the last is computed again for the missing ones,
   but stored once. */
INLINE void group_column(size_t rows, size_t inner, const real *a, size_t a_row, size_t a_inner, const real *b,
    size_t b_inner, real *out, size_t out_row, const real *factor, int add)
{
#define KEEP_NEXT_MODELS(r, ...) \
    if (rows < r + 1) \
        return; \
    keep(s##r##0, out, r*out_row, factor, add, 1);
    const real *const a0 = a;
    EACH_NEXT_ROW(8, GROUP_ROW, )
    const real *const b0 = b;
    ZERO_SUMS(8, 1, s)
    for (size_t k = 0; k < inner; k++)
        ADD_VECTORS(8, 1, s, MODELS_OF_A, MODELS_OF_B, k)
    keep(s00, out, 0, factor, add, 1);
    EACH_NEXT_ROW(8, KEEP_NEXT_MODELS, )
}

/* Computes out[r][c] = sum(k) a[r][k]*b[k][c] for each model; with add, adds it to out; then multiplies by
   factor[r][c], unless that is NULL. Blocks of four by four use each loaded value four times; for one or two columns,
   or rows, eight are computed at once. */
static HOT void group_product(size_t rows, size_t columns, size_t inner, const real *a, size_t a_row, size_t a_inner,
    const real *b, size_t b_inner, size_t b_column, real *out, size_t out_row, size_t out_column, const real *factor,
    int add)
{
    if (rows <= 2 && columns > rows) {
        group_product(columns, rows, inner, b, b_column, b_inner, a, a_inner, a_row, out, out_column, out_row, factor,
            add);
        return;
    }
    for (size_t lane = 0; lane < MODELS; lane += LANES) {
        size_t c = 0;
        for (; columns - c > 2 && c < columns; c += 4) {
            for (size_t r = 0; r < rows; r += LANE_SUM_ROWS) {
                const size_t position = (r*out_row + c*out_column)*MODELS + lane;
                group_block(rows - r, columns - c, inner, a + r*a_row*MODELS + lane, a_row*MODELS, a_inner*MODELS,
                    b + c*b_column*MODELS + lane, b_inner*MODELS, b_column*MODELS, out + position, out_row*MODELS,
                    out_column*MODELS, factor ? factor + position : NULL, add);
            }
        }
        for (; c < columns; c++) {
            for (size_t r = 0; r < rows; r += 8) {
                const size_t position = (r*out_row + c*out_column)*MODELS + lane;
                group_column(rows - r, inner, a + r*a_row*MODELS + lane, a_row*MODELS, a_inner*MODELS,
                    b + c*b_column*MODELS + lane, b_inner*MODELS, out + position, out_row*MODELS,
                    factor ? factor + position : NULL, add);
            }
        }
    }
}

/* Computes out[r] = sum(n) a[r][n] for each model; with add, adds it to out. */
static HOT void group_sum(size_t rows, size_t samples, const real *restrict a, size_t a_row, size_t a_sample,
    real *restrict out, int add)
{
    for (size_t r = 0; r < rows; r++) {
        for (size_t lane = 0; lane < MODELS; lane += LANES) {
            vector s = {0};
            for (size_t n = 0; n < samples; n++)
                s += load(a + (r*a_row + n*a_sample)*MODELS + lane);
            keep(s, out, r*MODELS + lane, NULL, add, 1);
        }
    }
}

#endif
