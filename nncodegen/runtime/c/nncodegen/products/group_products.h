/* Products and sums of matrices for a group of models, one in each lane.

   Needs group.h and vectors.h. Gives group_product, group_sum. */

#ifndef NNCODEGEN_GROUP_PRODUCTS_H
#define NNCODEGEN_GROUP_PRODUCTS_H

#include "nncodegen/products/group.h"
#include "nncodegen/base/vectors.h"

/* 4 rows and 4 columns of a product of each model. If fewer are left, the last is computed again for the missing
   ones, but stored once. */
INLINE void group_4x4(size_t rows, size_t columns, size_t inner,
    const real *a, size_t a_row, size_t a_inner, const real *b, size_t b_inner, size_t b_column,
    real *out, size_t out_row, size_t out_column, const real *factor, int add)
{
    const real *const a0 = a;
    const real *const a1 = a + (rows > 1 ? 1 : rows - 1)*a_row;
    const real *const a2 = a + (rows > 2 ? 2 : rows - 1)*a_row;
    const real *const a3 = a + (rows > 3 ? 3 : rows - 1)*a_row;
    const real *const b0 = b;
    const real *const b1 = b + (columns > 1 ? 1 : columns - 1)*b_column;
    const real *const b2 = b + (columns > 2 ? 2 : columns - 1)*b_column;
    const real *const b3 = b + (columns > 3 ? 3 : columns - 1)*b_column;
    vector s00 = {0}, s01 = {0}, s02 = {0}, s03 = {0};
    vector s10 = {0}, s11 = {0}, s12 = {0}, s13 = {0};
    vector s20 = {0}, s21 = {0}, s22 = {0}, s23 = {0};
    vector s30 = {0}, s31 = {0}, s32 = {0}, s33 = {0};
    for (size_t k = 0; k < inner; k++) {
        const vector v0 = load(b0 + k*b_inner);
        const vector v1 = load(b1 + k*b_inner);
        const vector v2 = load(b2 + k*b_inner);
        const vector v3 = load(b3 + k*b_inner);
        const vector u0 = load(a0 + k*a_inner);
        ADD_PRODUCT(s00, u0, v0);
        ADD_PRODUCT(s01, u0, v1);
        ADD_PRODUCT(s02, u0, v2);
        ADD_PRODUCT(s03, u0, v3);
        const vector u1 = load(a1 + k*a_inner);
        ADD_PRODUCT(s10, u1, v0);
        ADD_PRODUCT(s11, u1, v1);
        ADD_PRODUCT(s12, u1, v2);
        ADD_PRODUCT(s13, u1, v3);
        const vector u2 = load(a2 + k*a_inner);
        ADD_PRODUCT(s20, u2, v0);
        ADD_PRODUCT(s21, u2, v1);
        ADD_PRODUCT(s22, u2, v2);
        ADD_PRODUCT(s23, u2, v3);
        const vector u3 = load(a3 + k*a_inner);
        ADD_PRODUCT(s30, u3, v0);
        ADD_PRODUCT(s31, u3, v1);
        ADD_PRODUCT(s32, u3, v2);
        ADD_PRODUCT(s33, u3, v3);
    }
    keep(s00, out, 0*out_row, factor, add, 1);
    if (columns > 1)
        keep(s01, out, 0*out_row + 1*out_column, factor, add, 1);
    if (columns > 2)
        keep(s02, out, 0*out_row + 2*out_column, factor, add, 1);
    if (columns > 3)
        keep(s03, out, 0*out_row + 3*out_column, factor, add, 1);
    if (rows < 2)
        return;
    keep(s10, out, 1*out_row, factor, add, 1);
    if (columns > 1)
        keep(s11, out, 1*out_row + 1*out_column, factor, add, 1);
    if (columns > 2)
        keep(s12, out, 1*out_row + 2*out_column, factor, add, 1);
    if (columns > 3)
        keep(s13, out, 1*out_row + 3*out_column, factor, add, 1);
    if (rows < 3)
        return;
    keep(s20, out, 2*out_row, factor, add, 1);
    if (columns > 1)
        keep(s21, out, 2*out_row + 1*out_column, factor, add, 1);
    if (columns > 2)
        keep(s22, out, 2*out_row + 2*out_column, factor, add, 1);
    if (columns > 3)
        keep(s23, out, 2*out_row + 3*out_column, factor, add, 1);
    if (rows < 4)
        return;
    keep(s30, out, 3*out_row, factor, add, 1);
    if (columns > 1)
        keep(s31, out, 3*out_row + 1*out_column, factor, add, 1);
    if (columns > 2)
        keep(s32, out, 3*out_row + 2*out_column, factor, add, 1);
    if (columns > 3)
        keep(s33, out, 3*out_row + 3*out_column, factor, add, 1);
}

/* 2 rows and 4 columns of a product of each model. If fewer are left, the last is computed again for the missing
   ones, but stored once. */
INLINE void group_2x4(size_t rows, size_t columns, size_t inner,
    const real *a, size_t a_row, size_t a_inner, const real *b, size_t b_inner, size_t b_column,
    real *out, size_t out_row, size_t out_column, const real *factor, int add)
{
    const real *const a0 = a;
    const real *const a1 = a + (rows > 1 ? 1 : rows - 1)*a_row;
    const real *const b0 = b;
    const real *const b1 = b + (columns > 1 ? 1 : columns - 1)*b_column;
    const real *const b2 = b + (columns > 2 ? 2 : columns - 1)*b_column;
    const real *const b3 = b + (columns > 3 ? 3 : columns - 1)*b_column;
    vector s00 = {0}, s01 = {0}, s02 = {0}, s03 = {0};
    vector s10 = {0}, s11 = {0}, s12 = {0}, s13 = {0};
    for (size_t k = 0; k < inner; k++) {
        const vector v0 = load(b0 + k*b_inner);
        const vector v1 = load(b1 + k*b_inner);
        const vector v2 = load(b2 + k*b_inner);
        const vector v3 = load(b3 + k*b_inner);
        const vector u0 = load(a0 + k*a_inner);
        ADD_PRODUCT(s00, u0, v0);
        ADD_PRODUCT(s01, u0, v1);
        ADD_PRODUCT(s02, u0, v2);
        ADD_PRODUCT(s03, u0, v3);
        const vector u1 = load(a1 + k*a_inner);
        ADD_PRODUCT(s10, u1, v0);
        ADD_PRODUCT(s11, u1, v1);
        ADD_PRODUCT(s12, u1, v2);
        ADD_PRODUCT(s13, u1, v3);
    }
    keep(s00, out, 0*out_row, factor, add, 1);
    if (columns > 1)
        keep(s01, out, 0*out_row + 1*out_column, factor, add, 1);
    if (columns > 2)
        keep(s02, out, 0*out_row + 2*out_column, factor, add, 1);
    if (columns > 3)
        keep(s03, out, 0*out_row + 3*out_column, factor, add, 1);
    if (rows < 2)
        return;
    keep(s10, out, 1*out_row, factor, add, 1);
    if (columns > 1)
        keep(s11, out, 1*out_row + 1*out_column, factor, add, 1);
    if (columns > 2)
        keep(s12, out, 1*out_row + 2*out_column, factor, add, 1);
    if (columns > 3)
        keep(s13, out, 1*out_row + 3*out_column, factor, add, 1);
}

/* 8 rows and 1 column of a product of each model. If fewer are left, the last is computed again for the missing
   ones, but stored once. */
INLINE void group_8x1(size_t rows, size_t inner,
    const real *a, size_t a_row, size_t a_inner, const real *b, size_t b_inner,
    real *out, size_t out_row, const real *factor, int add)
{
    const real *const a0 = a;
    const real *const a1 = a + (rows > 1 ? 1 : rows - 1)*a_row;
    const real *const a2 = a + (rows > 2 ? 2 : rows - 1)*a_row;
    const real *const a3 = a + (rows > 3 ? 3 : rows - 1)*a_row;
    const real *const a4 = a + (rows > 4 ? 4 : rows - 1)*a_row;
    const real *const a5 = a + (rows > 5 ? 5 : rows - 1)*a_row;
    const real *const a6 = a + (rows > 6 ? 6 : rows - 1)*a_row;
    const real *const a7 = a + (rows > 7 ? 7 : rows - 1)*a_row;
    const real *const b0 = b;
    vector s00 = {0};
    vector s10 = {0};
    vector s20 = {0};
    vector s30 = {0};
    vector s40 = {0};
    vector s50 = {0};
    vector s60 = {0};
    vector s70 = {0};
    for (size_t k = 0; k < inner; k++) {
        const vector v0 = load(b0 + k*b_inner);
        const vector u0 = load(a0 + k*a_inner);
        ADD_PRODUCT(s00, u0, v0);
        const vector u1 = load(a1 + k*a_inner);
        ADD_PRODUCT(s10, u1, v0);
        const vector u2 = load(a2 + k*a_inner);
        ADD_PRODUCT(s20, u2, v0);
        const vector u3 = load(a3 + k*a_inner);
        ADD_PRODUCT(s30, u3, v0);
        const vector u4 = load(a4 + k*a_inner);
        ADD_PRODUCT(s40, u4, v0);
        const vector u5 = load(a5 + k*a_inner);
        ADD_PRODUCT(s50, u5, v0);
        const vector u6 = load(a6 + k*a_inner);
        ADD_PRODUCT(s60, u6, v0);
        const vector u7 = load(a7 + k*a_inner);
        ADD_PRODUCT(s70, u7, v0);
    }
    keep(s00, out, 0*out_row, factor, add, 1);
    if (rows < 2)
        return;
    keep(s10, out, 1*out_row, factor, add, 1);
    if (rows < 3)
        return;
    keep(s20, out, 2*out_row, factor, add, 1);
    if (rows < 4)
        return;
    keep(s30, out, 3*out_row, factor, add, 1);
    if (rows < 5)
        return;
    keep(s40, out, 4*out_row, factor, add, 1);
    if (rows < 6)
        return;
    keep(s50, out, 5*out_row, factor, add, 1);
    if (rows < 7)
        return;
    keep(s60, out, 6*out_row, factor, add, 1);
    if (rows < 8)
        return;
    keep(s70, out, 7*out_row, factor, add, 1);
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
            for (size_t r = 0; r < rows; r += (BLOCK_ROWS == 8 ? 4 : 2)) {
                const size_t position = (r*out_row + c*out_column)*MODELS + lane;
                const real *const ar = a + r*a_row*MODELS + lane, *const bc = b + c*b_column*MODELS + lane;
                if (BLOCK_ROWS == 8)
                    group_4x4(rows - r, columns - c, inner, ar, a_row*MODELS, a_inner*MODELS, bc, b_inner*MODELS,
                        b_column*MODELS, out + position, out_row*MODELS, out_column*MODELS,
                        factor ? factor + position : NULL, add);
                else
                    group_2x4(rows - r, columns - c, inner, ar, a_row*MODELS, a_inner*MODELS, bc, b_inner*MODELS,
                        b_column*MODELS, out + position, out_row*MODELS, out_column*MODELS,
                        factor ? factor + position : NULL, add);
            }
        }
        for (; c < columns; c++) {
            for (size_t r = 0; r < rows; r += 8) {
                const size_t position = (r*out_row + c*out_column)*MODELS + lane;
                group_8x1(rows - r, inner, a + r*a_row*MODELS + lane, a_row*MODELS, a_inner*MODELS,
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
