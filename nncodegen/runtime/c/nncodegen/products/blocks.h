/* Blocks of products: some rows and vectors of a result, whose sums stay in registers (sums.h).

   Needs sums.h. Gives block_RxV, for R rows and V vectors of a product whose columns lie along vectors, and lane_sums,
   for LANE_SUM_ROWS rows and 4 columns of a product whose terms lie along vectors: each result is the sum of the lanes
   of a vector. Blocks of 8 rows are for targets with 32 vector registers. Small blocks have several sums for each
   result, because each sum waits for its last addition. */

#ifndef NNCODEGEN_BLOCKS_H
#define NNCODEGEN_BLOCKS_H

#include "nncodegen/products/sums.h"

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

/* Defines one, two or four sets of sums: s, t, u, v. */
#define SETS_1(rows, vectors) ZERO_SUMS(rows, vectors, s)
#define SETS_2(rows, vectors) SETS_1(rows, vectors) ZERO_SUMS(rows, vectors, t)
#define SETS_4(rows, vectors) SETS_2(rows, vectors) ZERO_SUMS(rows, vectors, u) ZERO_SUMS(rows, vectors, v)

/* Adds term k of a product to a set of sums: values of a, and vectors of b. */
#define ADD_TERM(rows, vectors, s, k) ADD_PRODUCTS(rows, vectors, s, VALUE_OF_A, VECTOR_OF_B, k)
#define VALUE_OF_A(r, k) a##r[(k)*a_inner]
#define VECTOR_OF_B(c, k) load(b + (k)*b_inner + c*LANES)

/* Adds all terms of a product: those before whole to each set of sums in turn, the others to the first. */
#define ADD_TERMS_1(rows, vectors, whole) \
    for (size_t k = 0; k < inner; k++) \
        ADD_TERM(rows, vectors, s, k)
#define ADD_TERMS_2(rows, vectors, whole) \
    size_t k = 0; \
    const size_t end_of_sets = whole; \
    for (; k < end_of_sets; k += 2) { \
        ADD_TERM(rows, vectors, s, k + 0) \
        ADD_TERM(rows, vectors, t, k + 1) \
    } \
    for (; k < inner; k++) \
        ADD_TERM(rows, vectors, s, k)
#define ADD_TERMS_4(rows, vectors, whole) \
    size_t k = 0; \
    const size_t end_of_sets = whole; \
    for (; k < end_of_sets; k += 4) { \
        ADD_TERM(rows, vectors, s, k + 0) \
        ADD_TERM(rows, vectors, t, k + 1) \
        ADD_TERM(rows, vectors, u, k + 2) \
        ADD_TERM(rows, vectors, v, k + 3) \
    } \
    for (; k < inner; k++) \
        ADD_TERM(rows, vectors, s, k)

/* A result: the sum of those of its sets. */
#define RESULT_1(position) s##position
#define RESULT_2(position) s##position + t##position
#define RESULT_4(position) s##position + t##position + u##position + v##position

/* Defines block_RxV for some rows, with one, two or four sets of sums. If fewer rows are left, the last is computed
   again for the missing ones, but stored once. */
#define BLOCK(rows, vectors, sets) \
static inline UNUSED void block_##rows##x##vectors(size_t left, size_t inner, const real *restrict a, size_t a_row, \
    size_t a_inner, const real *restrict b, size_t b_inner, real *restrict out, size_t out_row, \
    const real *restrict factor, int add, real scale) \
{ \
    const size_t last = left - 1; \
    const real *const a0 = a; \
    EACH_NEXT_ROW(rows, ROW_OF_A, ) \
    SETS_##sets(rows, vectors) \
    ADD_TERMS_##sets(rows, vectors, PARTS_OF_SUM(inner, sets)) \
    EACH_COLUMN(vectors, KEEP_VECTOR, 0, sets) \
    EACH_NEXT_ROW(rows, KEEP_NEXT_ROW, vectors, sets) \
}
#define ROW_OF_A(r, ...) const real *const a##r = a + (last < r ? last : r)*a_row;
#define KEEP_NEXT_ROW(r, vectors, sets) \
    if (last < r) \
        return; \
    EACH_COLUMN(vectors, KEEP_VECTOR, r, sets)
#define KEEP_VECTOR(c, r, sets) \
    keep(SUM_OF_PARTS(s##r##c, RESULT_##sets(r##c)), out, r*out_row + c*LANES, factor, add, scale);

BLOCK(8, 2, 1)
BLOCK(8, 1, 1)
BLOCK(4, 2, 1)
BLOCK(4, 1, 2)
BLOCK(2, 2, 2)
BLOCK(2, 1, 4)

/* Defines block_1xV, for a single row. */
#define BLOCK_OF_ROW(vectors) \
static inline UNUSED void block_1x##vectors(size_t inner, const real *restrict a, size_t a_inner, \
    const real *restrict b, size_t b_inner, real *restrict out, const real *restrict factor, int add, real scale) \
{ \
    const real *const a0 = a; \
    SETS_4(1, vectors) \
    ADD_TERMS_4(1, vectors, inner/4*4) \
    EACH_COLUMN(vectors, KEEP_OF_ROW, ) \
}
#define KEEP_OF_ROW(c, ...) keep(RESULT_4(0##c), out, c*LANES, factor, add, scale);

BLOCK_OF_ROW(2)
BLOCK_OF_ROW(1)

/* Sums of lanes of some rows and 4 columns. If fewer are left, the last is computed again for the missing ones, but
   stored once. */
INLINE void lane_sums(size_t rows, size_t columns, const real *restrict d, const real *restrict x, size_t padded,
    size_t weight, size_t width, real *restrict partials, double *restrict sums, int single_tile)
{
#define ROW_OF_D(r, ...) const real *const d##r = d + (rows > r ? r : rows - 1)*TILE;
#define COLUMN_OF_X(c, ...) const real *const x##c = x + (columns > c ? c : columns - 1)*TILE;
#define SAMPLES_OF_D(r, n) load(d##r + n)
#define SAMPLES_OF_X(c, n) load(x##c + n)
#define SET_PART(c, r, part) s[r][c*SUM_VECTORS + part] = s##r##c;
#define SET_PARTS(r, part) EACH_COLUMN(4, SET_PART, r, part)
#define ADD_NEXT_ROW(r, ...) \
    if (rows < r + 1) \
        return; \
    add_four(s[r], columns, weight + r*width, partials, sums, single_tile);
    vector s[LANE_SUM_ROWS][4*SUM_VECTORS];
    const real *const d0 = d, *const x0 = x;
    EACH_NEXT_ROW(LANE_SUM_ROWS, ROW_OF_D, )
    EACH_NEXT_COLUMN(4, COLUMN_OF_X, )
    for (size_t part = 0; part < SUM_VECTORS; part++) {
        ZERO_SUMS(LANE_SUM_ROWS, 4, s)
        for (size_t n = part*LANES; n < padded; n += SUM_LANES)
            ADD_VECTORS(LANE_SUM_ROWS, 4, s, SAMPLES_OF_D, SAMPLES_OF_X, n)
        EACH_ROW(LANE_SUM_ROWS, SET_PARTS, part)
    }
    add_four(s[0], columns, weight, partials, sums, single_tile);
    EACH_NEXT_ROW(LANE_SUM_ROWS, ADD_NEXT_ROW, )
}

#endif
