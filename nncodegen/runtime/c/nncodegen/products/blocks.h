/* Blocks of products: some rows and vectors of a result, which stay in registers. Each vector is a separate variable,
   because compilers would keep an array of vectors in memory.

   Needs vectors.h. Gives block_RxV, for R rows and V vectors of a product whose columns lie along vectors, and
   lane_sums_RxC, for R rows and C columns of a product whose terms lie along vectors: each result is the sum of the
   lanes of a vector. Blocks of 8 rows, and lane_sums_4x4, are for targets with 32 vector registers. Small blocks have
   several sums for each result, because each sum waits for its last addition. */

#ifndef NNCODEGEN_BLOCKS_H
#define NNCODEGEN_BLOCKS_H

#include "nncodegen/base/vectors.h"

/* The terms of a product that small blocks add to several sums, and these sums, added up. Where results must not depend
   on the CPU, a result has one sum in every block, since CPUs differ in the blocks that they have registers for; only
   products of a single row have four, everywhere. */
#if NN_SAME_BITS
#define PARTS_OF_SUM(terms, sums) 0
#define SUM_OF_PARTS(one, all) (one)
#else
#define PARTS_OF_SUM(terms, sums) ((terms)/(sums)*(sums))
#define SUM_OF_PARTS(one, all) (all)
#endif

/* 8 rows and 2 vectors of a product. If fewer rows are left, the last is computed again for the missing ones, but
   stored once. */
static inline UNUSED void block_8x2(size_t left, size_t inner, const real *restrict a, size_t a_row,
    size_t a_inner, const real *restrict b, size_t b_inner, real *restrict out, size_t out_row,
    const real *restrict factor, int add, real scale)
{
    const size_t last = left - 1;
    const real *const a0 = a;
    const real *const a1 = a + (last < 1 ? last : 1)*a_row;
    const real *const a2 = a + (last < 2 ? last : 2)*a_row;
    const real *const a3 = a + (last < 3 ? last : 3)*a_row;
    const real *const a4 = a + (last < 4 ? last : 4)*a_row;
    const real *const a5 = a + (last < 5 ? last : 5)*a_row;
    const real *const a6 = a + (last < 6 ? last : 6)*a_row;
    const real *const a7 = a + (last < 7 ? last : 7)*a_row;
    vector s00 = {0}, s01 = {0};
    vector s10 = {0}, s11 = {0};
    vector s20 = {0}, s21 = {0};
    vector s30 = {0}, s31 = {0};
    vector s40 = {0}, s41 = {0};
    vector s50 = {0}, s51 = {0};
    vector s60 = {0}, s61 = {0};
    vector s70 = {0}, s71 = {0};
    for (size_t k = 0; k < inner; k++) {
        const vector b0 = load(b + k*b_inner), b1 = load(b + k*b_inner + 1*LANES);
        const size_t i = k*a_inner;
        ADD_PRODUCT(s00, a0[i], b0);
        ADD_PRODUCT(s01, a0[i], b1);
        ADD_PRODUCT(s10, a1[i], b0);
        ADD_PRODUCT(s11, a1[i], b1);
        ADD_PRODUCT(s20, a2[i], b0);
        ADD_PRODUCT(s21, a2[i], b1);
        ADD_PRODUCT(s30, a3[i], b0);
        ADD_PRODUCT(s31, a3[i], b1);
        ADD_PRODUCT(s40, a4[i], b0);
        ADD_PRODUCT(s41, a4[i], b1);
        ADD_PRODUCT(s50, a5[i], b0);
        ADD_PRODUCT(s51, a5[i], b1);
        ADD_PRODUCT(s60, a6[i], b0);
        ADD_PRODUCT(s61, a6[i], b1);
        ADD_PRODUCT(s70, a7[i], b0);
        ADD_PRODUCT(s71, a7[i], b1);
    }
    keep(s00, out, 0*out_row, factor, add, scale);
    keep(s01, out, 0*out_row + 1*LANES, factor, add, scale);
    if (last < 1)
        return;
    keep(s10, out, 1*out_row, factor, add, scale);
    keep(s11, out, 1*out_row + 1*LANES, factor, add, scale);
    if (last < 2)
        return;
    keep(s20, out, 2*out_row, factor, add, scale);
    keep(s21, out, 2*out_row + 1*LANES, factor, add, scale);
    if (last < 3)
        return;
    keep(s30, out, 3*out_row, factor, add, scale);
    keep(s31, out, 3*out_row + 1*LANES, factor, add, scale);
    if (last < 4)
        return;
    keep(s40, out, 4*out_row, factor, add, scale);
    keep(s41, out, 4*out_row + 1*LANES, factor, add, scale);
    if (last < 5)
        return;
    keep(s50, out, 5*out_row, factor, add, scale);
    keep(s51, out, 5*out_row + 1*LANES, factor, add, scale);
    if (last < 6)
        return;
    keep(s60, out, 6*out_row, factor, add, scale);
    keep(s61, out, 6*out_row + 1*LANES, factor, add, scale);
    if (last < 7)
        return;
    keep(s70, out, 7*out_row, factor, add, scale);
    keep(s71, out, 7*out_row + 1*LANES, factor, add, scale);
}

/* 8 rows and 1 vector of a product. If fewer rows are left, the last is computed again for the missing ones, but
   stored once. */
static inline UNUSED void block_8x1(size_t left, size_t inner, const real *restrict a, size_t a_row,
    size_t a_inner, const real *restrict b, size_t b_inner, real *restrict out, size_t out_row,
    const real *restrict factor, int add, real scale)
{
    const size_t last = left - 1;
    const real *const a0 = a;
    const real *const a1 = a + (last < 1 ? last : 1)*a_row;
    const real *const a2 = a + (last < 2 ? last : 2)*a_row;
    const real *const a3 = a + (last < 3 ? last : 3)*a_row;
    const real *const a4 = a + (last < 4 ? last : 4)*a_row;
    const real *const a5 = a + (last < 5 ? last : 5)*a_row;
    const real *const a6 = a + (last < 6 ? last : 6)*a_row;
    const real *const a7 = a + (last < 7 ? last : 7)*a_row;
    vector s00 = {0};
    vector s10 = {0};
    vector s20 = {0};
    vector s30 = {0};
    vector s40 = {0};
    vector s50 = {0};
    vector s60 = {0};
    vector s70 = {0};
    for (size_t k = 0; k < inner; k++) {
        const vector b0 = load(b + k*b_inner);
        const size_t i = k*a_inner;
        ADD_PRODUCT(s00, a0[i], b0);
        ADD_PRODUCT(s10, a1[i], b0);
        ADD_PRODUCT(s20, a2[i], b0);
        ADD_PRODUCT(s30, a3[i], b0);
        ADD_PRODUCT(s40, a4[i], b0);
        ADD_PRODUCT(s50, a5[i], b0);
        ADD_PRODUCT(s60, a6[i], b0);
        ADD_PRODUCT(s70, a7[i], b0);
    }
    keep(s00, out, 0*out_row, factor, add, scale);
    if (last < 1)
        return;
    keep(s10, out, 1*out_row, factor, add, scale);
    if (last < 2)
        return;
    keep(s20, out, 2*out_row, factor, add, scale);
    if (last < 3)
        return;
    keep(s30, out, 3*out_row, factor, add, scale);
    if (last < 4)
        return;
    keep(s40, out, 4*out_row, factor, add, scale);
    if (last < 5)
        return;
    keep(s50, out, 5*out_row, factor, add, scale);
    if (last < 6)
        return;
    keep(s60, out, 6*out_row, factor, add, scale);
    if (last < 7)
        return;
    keep(s70, out, 7*out_row, factor, add, scale);
}

/* 4 rows and 2 vectors of a product. If fewer rows are left, the last is computed again for the missing ones, but
   stored once. */
static inline UNUSED void block_4x2(size_t left, size_t inner, const real *restrict a, size_t a_row,
    size_t a_inner, const real *restrict b, size_t b_inner, real *restrict out, size_t out_row,
    const real *restrict factor, int add, real scale)
{
    const size_t last = left - 1;
    const real *const a0 = a;
    const real *const a1 = a + (last < 1 ? last : 1)*a_row;
    const real *const a2 = a + (last < 2 ? last : 2)*a_row;
    const real *const a3 = a + (last < 3 ? last : 3)*a_row;
    vector s00 = {0}, s01 = {0};
    vector s10 = {0}, s11 = {0};
    vector s20 = {0}, s21 = {0};
    vector s30 = {0}, s31 = {0};
    for (size_t k = 0; k < inner; k++) {
        const vector b0 = load(b + k*b_inner), b1 = load(b + k*b_inner + 1*LANES);
        const size_t i = k*a_inner;
        ADD_PRODUCT(s00, a0[i], b0);
        ADD_PRODUCT(s01, a0[i], b1);
        ADD_PRODUCT(s10, a1[i], b0);
        ADD_PRODUCT(s11, a1[i], b1);
        ADD_PRODUCT(s20, a2[i], b0);
        ADD_PRODUCT(s21, a2[i], b1);
        ADD_PRODUCT(s30, a3[i], b0);
        ADD_PRODUCT(s31, a3[i], b1);
    }
    keep(s00, out, 0*out_row, factor, add, scale);
    keep(s01, out, 0*out_row + 1*LANES, factor, add, scale);
    if (last < 1)
        return;
    keep(s10, out, 1*out_row, factor, add, scale);
    keep(s11, out, 1*out_row + 1*LANES, factor, add, scale);
    if (last < 2)
        return;
    keep(s20, out, 2*out_row, factor, add, scale);
    keep(s21, out, 2*out_row + 1*LANES, factor, add, scale);
    if (last < 3)
        return;
    keep(s30, out, 3*out_row, factor, add, scale);
    keep(s31, out, 3*out_row + 1*LANES, factor, add, scale);
}

/* 4 rows and 1 vector of a product. If fewer rows are left, the last is computed again for the missing ones, but
   stored once. */
static inline UNUSED void block_4x1(size_t left, size_t inner, const real *restrict a, size_t a_row,
    size_t a_inner, const real *restrict b, size_t b_inner, real *restrict out, size_t out_row,
    const real *restrict factor, int add, real scale)
{
    const size_t last = left - 1;
    const real *const a0 = a;
    const real *const a1 = a + (last < 1 ? last : 1)*a_row;
    const real *const a2 = a + (last < 2 ? last : 2)*a_row;
    const real *const a3 = a + (last < 3 ? last : 3)*a_row;
    vector s00 = {0};
    vector s10 = {0};
    vector s20 = {0};
    vector s30 = {0};
    vector t00 = {0};
    vector t10 = {0};
    vector t20 = {0};
    vector t30 = {0};
    size_t k = 0;
    const size_t whole = PARTS_OF_SUM(inner, 2);
    for (; k < whole; k += 2) {
        {
            const vector b0 = load(b + (k + 0)*b_inner);
            const size_t i = (k + 0)*a_inner;
            ADD_PRODUCT(s00, a0[i], b0);
            ADD_PRODUCT(s10, a1[i], b0);
            ADD_PRODUCT(s20, a2[i], b0);
            ADD_PRODUCT(s30, a3[i], b0);
        }
        {
            const vector b0 = load(b + (k + 1)*b_inner);
            const size_t i = (k + 1)*a_inner;
            ADD_PRODUCT(t00, a0[i], b0);
            ADD_PRODUCT(t10, a1[i], b0);
            ADD_PRODUCT(t20, a2[i], b0);
            ADD_PRODUCT(t30, a3[i], b0);
        }
    }
    for (; k < inner; k++) {
        const vector b0 = load(b + k*b_inner);
        const size_t i = k*a_inner;
        ADD_PRODUCT(s00, a0[i], b0);
        ADD_PRODUCT(s10, a1[i], b0);
        ADD_PRODUCT(s20, a2[i], b0);
        ADD_PRODUCT(s30, a3[i], b0);
    }
    keep(SUM_OF_PARTS(s00, s00 + t00), out, 0*out_row, factor, add, scale);
    if (last < 1)
        return;
    keep(SUM_OF_PARTS(s10, s10 + t10), out, 1*out_row, factor, add, scale);
    if (last < 2)
        return;
    keep(SUM_OF_PARTS(s20, s20 + t20), out, 2*out_row, factor, add, scale);
    if (last < 3)
        return;
    keep(SUM_OF_PARTS(s30, s30 + t30), out, 3*out_row, factor, add, scale);
}

/* 2 rows and 2 vectors of a product. If fewer rows are left, the last is computed again for the missing ones, but
   stored once. */
static inline UNUSED void block_2x2(size_t left, size_t inner, const real *restrict a, size_t a_row,
    size_t a_inner, const real *restrict b, size_t b_inner, real *restrict out, size_t out_row,
    const real *restrict factor, int add, real scale)
{
    const size_t last = left - 1;
    const real *const a0 = a;
    const real *const a1 = a + (last < 1 ? last : 1)*a_row;
    vector s00 = {0}, s01 = {0};
    vector s10 = {0}, s11 = {0};
    vector t00 = {0}, t01 = {0};
    vector t10 = {0}, t11 = {0};
    size_t k = 0;
    const size_t whole = PARTS_OF_SUM(inner, 2);
    for (; k < whole; k += 2) {
        {
            const vector b0 = load(b + (k + 0)*b_inner), b1 = load(b + (k + 0)*b_inner + 1*LANES);
            const size_t i = (k + 0)*a_inner;
            ADD_PRODUCT(s00, a0[i], b0);
            ADD_PRODUCT(s01, a0[i], b1);
            ADD_PRODUCT(s10, a1[i], b0);
            ADD_PRODUCT(s11, a1[i], b1);
        }
        {
            const vector b0 = load(b + (k + 1)*b_inner), b1 = load(b + (k + 1)*b_inner + 1*LANES);
            const size_t i = (k + 1)*a_inner;
            ADD_PRODUCT(t00, a0[i], b0);
            ADD_PRODUCT(t01, a0[i], b1);
            ADD_PRODUCT(t10, a1[i], b0);
            ADD_PRODUCT(t11, a1[i], b1);
        }
    }
    for (; k < inner; k++) {
        const vector b0 = load(b + k*b_inner), b1 = load(b + k*b_inner + 1*LANES);
        const size_t i = k*a_inner;
        ADD_PRODUCT(s00, a0[i], b0);
        ADD_PRODUCT(s01, a0[i], b1);
        ADD_PRODUCT(s10, a1[i], b0);
        ADD_PRODUCT(s11, a1[i], b1);
    }
    keep(SUM_OF_PARTS(s00, s00 + t00), out, 0*out_row, factor, add, scale);
    keep(SUM_OF_PARTS(s01, s01 + t01), out, 0*out_row + 1*LANES, factor, add, scale);
    if (last < 1)
        return;
    keep(SUM_OF_PARTS(s10, s10 + t10), out, 1*out_row, factor, add, scale);
    keep(SUM_OF_PARTS(s11, s11 + t11), out, 1*out_row + 1*LANES, factor, add, scale);
}

/* 2 rows and 1 vector of a product. If fewer rows are left, the last is computed again for the missing ones, but
   stored once. */
static inline UNUSED void block_2x1(size_t left, size_t inner, const real *restrict a, size_t a_row,
    size_t a_inner, const real *restrict b, size_t b_inner, real *restrict out, size_t out_row,
    const real *restrict factor, int add, real scale)
{
    const size_t last = left - 1;
    const real *const a0 = a;
    const real *const a1 = a + (last < 1 ? last : 1)*a_row;
    vector s00 = {0};
    vector s10 = {0};
    vector t00 = {0};
    vector t10 = {0};
    vector u00 = {0};
    vector u10 = {0};
    vector v00 = {0};
    vector v10 = {0};
    size_t k = 0;
    const size_t whole = PARTS_OF_SUM(inner, 4);
    for (; k < whole; k += 4) {
        {
            const vector b0 = load(b + (k + 0)*b_inner);
            const size_t i = (k + 0)*a_inner;
            ADD_PRODUCT(s00, a0[i], b0);
            ADD_PRODUCT(s10, a1[i], b0);
        }
        {
            const vector b0 = load(b + (k + 1)*b_inner);
            const size_t i = (k + 1)*a_inner;
            ADD_PRODUCT(t00, a0[i], b0);
            ADD_PRODUCT(t10, a1[i], b0);
        }
        {
            const vector b0 = load(b + (k + 2)*b_inner);
            const size_t i = (k + 2)*a_inner;
            ADD_PRODUCT(u00, a0[i], b0);
            ADD_PRODUCT(u10, a1[i], b0);
        }
        {
            const vector b0 = load(b + (k + 3)*b_inner);
            const size_t i = (k + 3)*a_inner;
            ADD_PRODUCT(v00, a0[i], b0);
            ADD_PRODUCT(v10, a1[i], b0);
        }
    }
    for (; k < inner; k++) {
        const vector b0 = load(b + k*b_inner);
        const size_t i = k*a_inner;
        ADD_PRODUCT(s00, a0[i], b0);
        ADD_PRODUCT(s10, a1[i], b0);
    }
    keep(SUM_OF_PARTS(s00, s00 + t00 + u00 + v00), out, 0*out_row, factor, add, scale);
    if (last < 1)
        return;
    keep(SUM_OF_PARTS(s10, s10 + t10 + u10 + v10), out, 1*out_row, factor, add, scale);
}

/* 1 row and 2 vectors of a product. */
static inline UNUSED void block_1x2(size_t inner, const real *restrict a, size_t a_inner, const real *restrict b,
    size_t b_inner, real *restrict out, const real *restrict factor, int add, real scale)
{
    vector s00 = {0}, s01 = {0};
    vector t00 = {0}, t01 = {0};
    vector u00 = {0}, u01 = {0};
    vector v00 = {0}, v01 = {0};
    size_t k = 0;
    const size_t whole = inner/4*4;
    for (; k < whole; k += 4) {
        {
            const vector b0 = load(b + (k + 0)*b_inner), b1 = load(b + (k + 0)*b_inner + 1*LANES);
            const size_t i = (k + 0)*a_inner;
            ADD_PRODUCT(s00, a[i], b0);
            ADD_PRODUCT(s01, a[i], b1);
        }
        {
            const vector b0 = load(b + (k + 1)*b_inner), b1 = load(b + (k + 1)*b_inner + 1*LANES);
            const size_t i = (k + 1)*a_inner;
            ADD_PRODUCT(t00, a[i], b0);
            ADD_PRODUCT(t01, a[i], b1);
        }
        {
            const vector b0 = load(b + (k + 2)*b_inner), b1 = load(b + (k + 2)*b_inner + 1*LANES);
            const size_t i = (k + 2)*a_inner;
            ADD_PRODUCT(u00, a[i], b0);
            ADD_PRODUCT(u01, a[i], b1);
        }
        {
            const vector b0 = load(b + (k + 3)*b_inner), b1 = load(b + (k + 3)*b_inner + 1*LANES);
            const size_t i = (k + 3)*a_inner;
            ADD_PRODUCT(v00, a[i], b0);
            ADD_PRODUCT(v01, a[i], b1);
        }
    }
    for (; k < inner; k++) {
        const vector b0 = load(b + k*b_inner), b1 = load(b + k*b_inner + 1*LANES);
        const size_t i = k*a_inner;
        ADD_PRODUCT(s00, a[i], b0);
        ADD_PRODUCT(s01, a[i], b1);
    }
    keep(s00 + t00 + u00 + v00, out, 0, factor, add, scale);
    keep(s01 + t01 + u01 + v01, out, 1*LANES, factor, add, scale);
}

/* 1 row and 1 vector of a product. */
static inline UNUSED void block_1x1(size_t inner, const real *restrict a, size_t a_inner, const real *restrict b,
    size_t b_inner, real *restrict out, const real *restrict factor, int add, real scale)
{
    vector s00 = {0};
    vector t00 = {0};
    vector u00 = {0};
    vector v00 = {0};
    size_t k = 0;
    const size_t whole = inner/4*4;
    for (; k < whole; k += 4) {
        {
            const vector b0 = load(b + (k + 0)*b_inner);
            const size_t i = (k + 0)*a_inner;
            ADD_PRODUCT(s00, a[i], b0);
        }
        {
            const vector b0 = load(b + (k + 1)*b_inner);
            const size_t i = (k + 1)*a_inner;
            ADD_PRODUCT(t00, a[i], b0);
        }
        {
            const vector b0 = load(b + (k + 2)*b_inner);
            const size_t i = (k + 2)*a_inner;
            ADD_PRODUCT(u00, a[i], b0);
        }
        {
            const vector b0 = load(b + (k + 3)*b_inner);
            const size_t i = (k + 3)*a_inner;
            ADD_PRODUCT(v00, a[i], b0);
        }
    }
    for (; k < inner; k++) {
        const vector b0 = load(b + k*b_inner);
        const size_t i = k*a_inner;
        ADD_PRODUCT(s00, a[i], b0);
    }
    keep(s00 + t00 + u00 + v00, out, 0, factor, add, scale);
}

/* 4 rows and 4 columns of sums of lanes. If fewer are left, the last is computed again for the missing ones,
   but stored once. */
INLINE void lane_sums_4x4(size_t rows, size_t columns, const real *restrict d,
    const real *restrict x, size_t padded, size_t weight, size_t width, real *restrict partials,
    double *restrict sums, int single_tile)
{
    vector s[4][4*SUM_VECTORS];
    const real *const d0 = d;
    const real *const d1 = d + (rows > 1 ? 1 : rows - 1)*TILE;
    const real *const d2 = d + (rows > 2 ? 2 : rows - 1)*TILE;
    const real *const d3 = d + (rows > 3 ? 3 : rows - 1)*TILE;
    const real *const x0 = x;
    const real *const x1 = x + (columns > 1 ? 1 : columns - 1)*TILE;
    const real *const x2 = x + (columns > 2 ? 2 : columns - 1)*TILE;
    const real *const x3 = x + (columns > 3 ? 3 : columns - 1)*TILE;
    for (size_t part = 0; part < SUM_VECTORS; part++) {
        vector s00 = {0}, s01 = {0}, s02 = {0}, s03 = {0};
        vector s10 = {0}, s11 = {0}, s12 = {0}, s13 = {0};
        vector s20 = {0}, s21 = {0}, s22 = {0}, s23 = {0};
        vector s30 = {0}, s31 = {0}, s32 = {0}, s33 = {0};
        for (size_t n = part*LANES; n < padded; n += SUM_LANES) {
            const vector v0 = load(x0 + n), v1 = load(x1 + n), v2 = load(x2 + n), v3 = load(x3 + n);
            const vector u0 = load(d0 + n);
            ADD_PRODUCT(s00, u0, v0);
            ADD_PRODUCT(s01, u0, v1);
            ADD_PRODUCT(s02, u0, v2);
            ADD_PRODUCT(s03, u0, v3);
            const vector u1 = load(d1 + n);
            ADD_PRODUCT(s10, u1, v0);
            ADD_PRODUCT(s11, u1, v1);
            ADD_PRODUCT(s12, u1, v2);
            ADD_PRODUCT(s13, u1, v3);
            const vector u2 = load(d2 + n);
            ADD_PRODUCT(s20, u2, v0);
            ADD_PRODUCT(s21, u2, v1);
            ADD_PRODUCT(s22, u2, v2);
            ADD_PRODUCT(s23, u2, v3);
            const vector u3 = load(d3 + n);
            ADD_PRODUCT(s30, u3, v0);
            ADD_PRODUCT(s31, u3, v1);
            ADD_PRODUCT(s32, u3, v2);
            ADD_PRODUCT(s33, u3, v3);
        }
        s[0][part] = s00;
        s[0][SUM_VECTORS + part] = s01;
        s[0][2*SUM_VECTORS + part] = s02;
        s[0][3*SUM_VECTORS + part] = s03;
        s[1][part] = s10;
        s[1][SUM_VECTORS + part] = s11;
        s[1][2*SUM_VECTORS + part] = s12;
        s[1][3*SUM_VECTORS + part] = s13;
        s[2][part] = s20;
        s[2][SUM_VECTORS + part] = s21;
        s[2][2*SUM_VECTORS + part] = s22;
        s[2][3*SUM_VECTORS + part] = s23;
        s[3][part] = s30;
        s[3][SUM_VECTORS + part] = s31;
        s[3][2*SUM_VECTORS + part] = s32;
        s[3][3*SUM_VECTORS + part] = s33;
    }
    add_four(s[0], columns, weight, partials, sums, single_tile);
    if (rows < 2)
        return;
    add_four(s[1], columns, weight + 1*width, partials, sums, single_tile);
    if (rows < 3)
        return;
    add_four(s[2], columns, weight + 2*width, partials, sums, single_tile);
    if (rows < 4)
        return;
    add_four(s[3], columns, weight + 3*width, partials, sums, single_tile);
}

/* 2 rows and 4 columns of sums of lanes. If fewer are left, the last is computed again for the missing ones,
   but stored once. */
INLINE void lane_sums_2x4(size_t rows, size_t columns, const real *restrict d,
    const real *restrict x, size_t padded, size_t weight, size_t width, real *restrict partials,
    double *restrict sums, int single_tile)
{
    vector s[2][4*SUM_VECTORS];
    const real *const d0 = d;
    const real *const d1 = d + (rows > 1 ? 1 : rows - 1)*TILE;
    const real *const x0 = x;
    const real *const x1 = x + (columns > 1 ? 1 : columns - 1)*TILE;
    const real *const x2 = x + (columns > 2 ? 2 : columns - 1)*TILE;
    const real *const x3 = x + (columns > 3 ? 3 : columns - 1)*TILE;
    for (size_t part = 0; part < SUM_VECTORS; part++) {
        vector s00 = {0}, s01 = {0}, s02 = {0}, s03 = {0};
        vector s10 = {0}, s11 = {0}, s12 = {0}, s13 = {0};
        for (size_t n = part*LANES; n < padded; n += SUM_LANES) {
            const vector v0 = load(x0 + n), v1 = load(x1 + n), v2 = load(x2 + n), v3 = load(x3 + n);
            const vector u0 = load(d0 + n);
            ADD_PRODUCT(s00, u0, v0);
            ADD_PRODUCT(s01, u0, v1);
            ADD_PRODUCT(s02, u0, v2);
            ADD_PRODUCT(s03, u0, v3);
            const vector u1 = load(d1 + n);
            ADD_PRODUCT(s10, u1, v0);
            ADD_PRODUCT(s11, u1, v1);
            ADD_PRODUCT(s12, u1, v2);
            ADD_PRODUCT(s13, u1, v3);
        }
        s[0][part] = s00;
        s[0][SUM_VECTORS + part] = s01;
        s[0][2*SUM_VECTORS + part] = s02;
        s[0][3*SUM_VECTORS + part] = s03;
        s[1][part] = s10;
        s[1][SUM_VECTORS + part] = s11;
        s[1][2*SUM_VECTORS + part] = s12;
        s[1][3*SUM_VECTORS + part] = s13;
    }
    add_four(s[0], columns, weight, partials, sums, single_tile);
    if (rows < 2)
        return;
    add_four(s[1], columns, weight + 1*width, partials, sums, single_tile);
}

#endif
