/* Products of a matrix and a vector, and sums of a row: the operations on single samples.

   Needs blocks.h. Gives row_product, row_times, row_products, column_products, row_sum, row_largest. */

#ifndef NNCODEGEN_ROWS_H
#define NNCODEGEN_ROWS_H

#include "nncodegen/products/blocks.h"

/* 4 vectors of the product of a vector and a matrix. */
static inline UNUSED void row_times_4(size_t inner, const real *restrict a0, const real *restrict b,
    size_t b_inner, real *restrict out)
{
    const size_t a_inner = 1;
    SETS_2(1, 4)
    ADD_TERMS_2(1, 4, inner/2*2)
    *(unaligned *) out = s00 + t00;
    *(unaligned *) (out + 1*LANES) = s01 + t01;
    *(unaligned *) (out + 2*LANES) = s02 + t02;
    *(unaligned *) (out + 3*LANES) = s03 + t03;
}

/* The vectors of a row that are multiplied one after the other: two, where a sum has more than one vector of parts. A
   pass for each would read the lines of the cache twice. */
enum { PAIR = SUM_VECTORS > 1 ? 2 : 1 };

/* Computes out[j*step] = sum(i) a[j*row + i]*x[i], a matrix times a vector: four rows at once, in vectors of terms,
   and then in vectors of four terms. If fewer than four rows are left, the last one is computed again for the
   missing ones. */
static HOT void row_product(size_t rows, size_t inner, const real *restrict a, size_t row, const real *restrict x,
    real *restrict out, size_t step)
{
    const size_t whole = SUM_LANES >= 4 ? inner/SUM_LANES*SUM_LANES : 0, fours = inner/4*4;
    for (size_t j = 0; j < rows; j += 4) {
        const size_t last = rows - j - 1, j1 = last < 1 ? last : 1, j2 = last < 2 ? last : 2, j3 = last < 3 ? last : 3;
        const real *const a0 = a + j*row, *const a1 = a0 + j1*row, *const a2 = a0 + j2*row, *const a3 = a0 + j3*row;
        four sums = {0};
        if (whole > 0) {
            vector s[4*SUM_VECTORS] = {{0}};
            for (size_t part = 0; part < SUM_VECTORS; part += PAIR) {
                vector s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
                vector t0 = {0}, t1 = {0}, t2 = {0}, t3 = {0};
                for (size_t i = part*LANES; i < whole; i += SUM_LANES) {
                    const vector values = load(x + i);
                    ADD_PRODUCT(s0, load(a0 + i), values);
                    ADD_PRODUCT(s1, load(a1 + i), values);
                    ADD_PRODUCT(s2, load(a2 + i), values);
                    ADD_PRODUCT(s3, load(a3 + i), values);
                    if (PAIR > 1) {
                        const vector next = load(x + i + LANES);
                        ADD_PRODUCT(t0, load(a0 + i + LANES), next);
                        ADD_PRODUCT(t1, load(a1 + i + LANES), next);
                        ADD_PRODUCT(t2, load(a2 + i + LANES), next);
                        ADD_PRODUCT(t3, load(a3 + i + LANES), next);
                    }
                }
                s[part] = s0;
                s[SUM_VECTORS + part] = s1;
                s[2*SUM_VECTORS + part] = s2;
                s[3*SUM_VECTORS + part] = s3;
                if (PAIR > 1) {
                    s[part + 1] = t0;
                    s[SUM_VECTORS + part + 1] = t1;
                    s[2*SUM_VECTORS + part + 1] = t2;
                    s[3*SUM_VECTORS + part + 1] = t3;
                }
            }
            sums_of_four(s, &sums);
        }
        if (whole < fours) {
            four f[4] = {{0}}, rest;
            for (size_t i = whole; i < fours; i += 4) {
                const four values = *(const unaligned_four *) (x + i);
                f[0] += *(const unaligned_four *) (a0 + i)*values;
                f[1] += *(const unaligned_four *) (a1 + i)*values;
                f[2] += *(const unaligned_four *) (a2 + i)*values;
                f[3] += *(const unaligned_four *) (a3 + i)*values;
            }
            add_fours(f, &rest);
            sums += rest;
        }
        for (size_t i = fours; i < inner; i++)
            sums += (four) {a0[i], a1[i], a2[i], a3[i]}*x[i];
        if (step == 1 && last >= 3) {
            *(unaligned_four *) (out + j) = sums;
        } else {
            out[(j + j3)*step] = sums[3];
            out[(j + j2)*step] = sums[2];
            out[(j + j1)*step] = sums[1];
            out[j*step] = sums[0];
        }
    }
}

/* Computes out[c] = sum(k) a[k]*b[k*b_row + c], a vector times a matrix, whose rows are padded to whole vectors. */
static HOT void row_times(size_t columns, size_t inner, const real *restrict a, const real *restrict b, size_t b_row,
    real *restrict out)
{
    for (size_t c = 0; c < columns;) {
        const size_t vectors = (columns - c + LANES - 1)/LANES;
        if (vectors >= 4 && !NN_SAME_BITS) /* which has two sums for each result, unlike the others */
            row_times_4(inner, a, b + c, b_row, out + c);
        else if (vectors >= 2)
            block_1x2(inner, a, 1, b + c, b_row, out + c, NULL, 0, 1);
        else
            block_1x1(inner, a, 1, b + c, b_row, out + c, NULL, 0, 1);
        c += (vectors >= 4 && !NN_SAME_BITS ? 4 : vectors >= 2 ? 2 : 1)*LANES;
    }
}

/* Returns the sum of the values of a row. */
INLINE real row_sum(size_t count, const real *restrict values)
{
    const size_t whole = count/SUM_LANES*SUM_LANES, fours = count/4*4;
    vector s[SUM_VECTORS] = {{0}};
    four f = {0};
    for (size_t k = 0; k < whole; k += SUM_LANES)
        for (size_t part = 0; part < SUM_VECTORS; part++)
            s[part] += load(values + k + part*LANES);
    for (size_t k = whole; k < fours; k += 4)
        f += *(const unaligned_four *) (values + k);
    real total = whole > 0 ? sum_of_lanes(s) : 0;
    if (whole < fours)
        total += (f[0] + f[1]) + (f[2] + f[3]);
    for (size_t k = whole < fours ? fours : whole; k < count; k++)
        total += values[k];
    return total;
}

/* Returns the largest value of a row. Some are compared twice if count is no multiple of four. */
INLINE real row_largest(size_t count, const real *restrict values)
{
    real f[4] = {-HUGE_VAL, -HUGE_VAL, -HUGE_VAL, -HUGE_VAL};
    for (size_t k = 0; k < count && count < 4; k++)
        f[0] = f[0] > values[k] ? f[0] : values[k];
    for (size_t k = 0; k < count && count >= 4; k += 4) {
        const real *const next = values + (k + 4 <= count ? k : count - 4);
        for (size_t l = 0; l < 4; l++)
            f[l] = f[l] > next[l] ? f[l] : next[l];
    }
    f[0] = f[0] > f[1] ? f[0] : f[1];
    f[2] = f[2] > f[3] ? f[2] : f[3];
    return f[0] > f[2] ? f[0] : f[2];
}

/* Computes out[r][c] = sum(k) a[r][k]*b[c][k], row by row. The rows of out are padded with their last value. */
static HOT void row_products(size_t rows, size_t columns, size_t inner, const real *restrict a, size_t a_row,
    const real *restrict b, size_t b_row, real *restrict out, size_t out_row)
{
    for (size_t r = 0; r < rows; r++)
        row_product(columns, inner, b, b_row, a + r*a_row, out + r*out_row, 1);
    pad_rows(rows, columns, out, out_row);
}

/* Computes the same products as row_products, column by column. */
static HOT void column_products(size_t rows, size_t columns, size_t inner, const real *restrict a, size_t a_row,
    const real *restrict b, size_t b_column, real *restrict out, size_t out_row)
{
    for (size_t c = 0; c < columns; c++)
        row_product(rows, inner, a, a_row, b + c*b_column, out + c, out_row);
    pad_rows(rows, columns, out, out_row);
}

#endif
