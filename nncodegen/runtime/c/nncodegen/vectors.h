/* Vectors of numbers, as long as the registers of the target: the only header that knows instruction sets.

   Needs base.h. Gives vector, LANES, BLOCK_ROWS, VARIANT, CUT, FLUSH_SUBNORMALS, loads and stores, sums of lanes. To
   add an instruction set, add a section at the top. */

#ifndef NNCODEGEN_VECTORS_H
#define NNCODEGEN_VECTORS_H

#include "base.h"

/* For each instruction set: its name, the bytes of a register, and the rows of a block of a product, whose results
   and factors must fit into the registers. */
#if defined(__AVX512F__)
#define VARIANT "avx512"
#define VECTOR_BYTES 64
#define BLOCK_ROWS 8
#elif defined(__AVX2__)
#define VARIANT "avx2"
#define VECTOR_BYTES 32
#define BLOCK_ROWS 4
#elif defined(__AVX__)
#define VARIANT "plain"
#define VECTOR_BYTES 32
#define BLOCK_ROWS 4
#elif defined(__aarch64__)
#define VARIANT "neon"
#define VECTOR_BYTES 16
#define BLOCK_ROWS 8
#else
#define VARIANT "plain"
#define VECTOR_BYTES 16
#define BLOCK_ROWS 4
#endif

/* The number of rows of a product above which vectors that cross two cache lines are copied first. Zen 4 loads all
   of its vectors in halves, so that copies gain nothing; Zen 5 loads both lines while a block computes, so that
   copies pay only for many rows. */
#if defined(__znver4__)
#define COPY_ROWS PTRDIFF_MAX
#elif defined(__znver5__)
#define COPY_ROWS 64
#else
#define COPY_ROWS BLOCK_ROWS
#endif

/* 1 if a loop is cut in two before a division that waits for an exponential or a similar function. Intel's cores
   overlap divisions of the longest vectors with other work; those of AMD, and all cores with shorter vectors, look
   too few iterations ahead for that. -DCUT=0 or 1 overrides it. */
#if defined(CUT)
#elif defined(__AVX512F__) && !defined(__znver4__) && !defined(__znver5__)
#define CUT 0
#else
#define CUT 1
#endif

/* Until the end of the enclosing block, subnormal numbers count as zero (FLUSH_SUBNORMALS) or do not
   (GRADUAL_UNDERFLOW). They count as zero where losses and gradients are computed and parameters trained, if the
   model allows it: some cores take a hundred cycles for each. A model with a logarithm or root of such numbers does
   not allow it, because its result would not be close to that of zero. In predictions and in poll.stop they keep
   their values. */
#if (NN_FLUSHES || defined(NNCODEGEN_LIBRARY)) && defined(__SSE2__) && defined(__GNUC__)
INLINE unsigned change_mode(unsigned set, unsigned cleared)
{
    const unsigned before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr((before & ~cleared) | set);
    return before;
}

INLINE void restore_mode(const unsigned *before)
{
    __builtin_ia32_ldmxcsr(*before);
}

#define MODE const unsigned mode __attribute__((unused, cleanup(restore_mode)))
#define FLUSH_SUBNORMALS MODE = change_mode(FLUSHES ? 0x8040 : 0, 0); /* of results, and of operands */
#define GRADUAL_UNDERFLOW MODE = change_mode(0, FLUSHES ? 0x8040 : 0);
#else
#define FLUSH_SUBNORMALS
#define GRADUAL_UNDERFLOW
#endif

enum {
    LANES = VECTOR_BYTES/sizeof(real),
    PANEL = 256, /* the number of terms of a part of a long sum: in two of the longest vectors, 32 kB */
    LANE_SUM_ROWS = BLOCK_ROWS/2, /* the rows of a block of sums of lanes */
    FEW = 4 /* fewer samples than this are multiplied by transposed weights directly, without a copy */
};

/* A tile is padded to a multiple of this number of samples, unless it is one sample. */
#define PAD (HAS_BLOCKS && TILE > 1 ? LANES : 1)

/* Returns a number of samples, rounded up to whole vectors if there are any: PAD is a power of two. */
INLINE size_t padded(size_t count)
{
    return (count + (size_t) PAD - 1) & ~((size_t) PAD - 1);
}

#define PARTIALS (DIRECT ? 0 : LANE_SUMS*LANES)

/* 1 if the compiler has __builtin_shufflevector: GCC from version 12 on, and Clang. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLES 1
#endif
#endif
#ifndef SHUFFLES
#define SHUFFLES 0
#endif

typedef real vector __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef word words __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef real unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));
typedef real four __attribute__((vector_size(4*sizeof(real))));
typedef real eight __attribute__((vector_size(8*sizeof(real))));
typedef real sixteen __attribute__((vector_size(16*sizeof(real))));
typedef real unaligned_four __attribute__((vector_size(4*sizeof(real)), aligned(sizeof(real)), may_alias));
typedef real unaligned_eight __attribute__((vector_size(8*sizeof(real)), aligned(sizeof(real)), may_alias));
typedef real unaligned_sixteen __attribute__((vector_size(16*sizeof(real)), aligned(sizeof(real)), may_alias));

/* Sums of neighbours in two vectors of 4, 8 or 16 values: of each four values of the result, two are from a, two
   from b. */
#if SHUFFLES
#define NEIGHBOURS_4(a, b) \
    __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7)
#define NEIGHBOURS_8(a, b) \
    __builtin_shufflevector(a, b, 0, 2, 8, 10, 4, 6, 12, 14) + __builtin_shufflevector(a, b, 1, 3, 9, 11, 5, 7, 13, 15)
#define NEIGHBOURS_16(a, b) \
    __builtin_shufflevector(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30) \
    + __builtin_shufflevector(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31)
#endif

/* Reads a vector, which need not be aligned: inputs are in the caller's memory. */
INLINE vector load(const real *values)
{
    return *(const unaligned *) values;
}

/* Stores out[position] = s or, if add, out[position] + scale*s; then multiplies by factor[position], unless that is
   NULL. All values are vectors. */
INLINE void keep(vector s, real *out, size_t position, const real *factor, int add, real scale)
{
    if (add)
        s = load(out + position) + scale*s;
    if (factor)
        s *= load(factor + position);
    *(unaligned *) (out + position) = s;
}

/* Like keep, for the first lanes of a vector, at the end of a row without padding. The values after these are read,
   and written back unchanged; memory for them exists even at the end of the array. */
INLINE void keep_first(vector s, size_t lanes, real *out, int add, real scale)
{
    const vector there = load(out);
    if (add)
        s = there + scale*s;
    words first = {0};
    for (size_t lane = 0; lane < LANES; lane++)
        first[lane] = lane < lanes ? ~(word) 0 : 0;
    *(unaligned *) out = (vector) (((words) s & first) | ((words) there & ~first));
}

/* Returns the sum of the lanes of a vector. Its halves are added as vectors, which is faster than extracting each
   lane. */
INLINE real sum_of_lanes(vector s)
{
    typedef real half __attribute__((vector_size(VECTOR_BYTES/2), may_alias));
    const half two = ((const half *) &s)[0] + ((const half *) &s)[1];
#if VECTOR_BYTES > 16
    typedef real quarter __attribute__((vector_size(VECTOR_BYTES/4), may_alias));
    const quarter last = ((const quarter *) &two)[0] + ((const quarter *) &two)[1];
#else
    const half last = two;
#endif
    real total = 0;
    for (size_t lane = 0; lane < sizeof last/sizeof(real); lane++)
        total += last[lane];
    return total;
}

/* Computes the sum of the values of each of four short vectors. */
INLINE void add_fours(const four *a, four *sums)
{
#if SHUFFLES
    const four b0 = NEIGHBOURS_4(a[0], a[1]), b1 = NEIGHBOURS_4(a[2], a[3]);
    *sums = NEIGHBOURS_4(b0, b1);
#else
    for (size_t k = 0; k < 4; k++)
        (*sums)[k] = (a[k][0] + a[k][1]) + (a[k][2] + a[k][3]);
#endif
}

/* Computes the sum of the lanes of each of four vectors. */
INLINE void sums_of_four(const vector *s, four *sums)
{
#if SHUFFLES
    if (LANES == 16) {
        const unaligned_sixteen *const a = (const unaligned_sixteen *) s;
        const sixteen b0 = NEIGHBOURS_16(a[0], a[1]), b1 = NEIGHBOURS_16(a[2], a[3]), c = NEIGHBOURS_16(b0, b1);
        const eight d = ((const unaligned_eight *) &c)[0] + ((const unaligned_eight *) &c)[1];
        *sums = ((const unaligned_four *) &d)[0] + ((const unaligned_four *) &d)[1];
        return;
    }
    if (LANES == 8) {
        const unaligned_eight *const a = (const unaligned_eight *) s;
        const eight b0 = NEIGHBOURS_8(a[0], a[1]), b1 = NEIGHBOURS_8(a[2], a[3]), c = NEIGHBOURS_8(b0, b1);
        *sums = ((const unaligned_four *) &c)[0] + ((const unaligned_four *) &c)[1];
        return;
    }
    if (LANES == 4) {
        const unaligned_four *const a = (const unaligned_four *) s;
        add_fours((const four [4]) {a[0], a[1], a[2], a[3]}, sums);
        return;
    }
#endif
    for (size_t k = 0; k < 4; k++)
        (*sums)[k] = sum_of_lanes(s[k]);
}

/* Adds four vectors to the partial sums of four weights, or of the remaining ones. If DIRECT, the sum of their lanes
   is added to the sum of each weight instead; for a single tile, it sets the sum. */
INLINE void add_four(const vector *s, size_t left, size_t weight, real *restrict partials, double *restrict sums,
    int single_tile)
{
    if (DIRECT || single_tile) {
        four totals;
        double *const to = sums + weight, *const last = to + left;
        sums_of_four(s, &totals);
        if (single_tile && left >= 4) {
            for (size_t k = 0; k < 4; k++)
                to[k] = (double) totals[k];
            return;
        }
        to[0] = (single_tile ? 0 : to[0]) + (double) totals[0];
        if (to + 1 < last)
            to[1] = (single_tile ? 0 : to[1]) + (double) totals[1];
        if (to + 2 < last)
            to[2] = (single_tile ? 0 : to[2]) + (double) totals[2];
        if (to + 3 < last)
            to[3] = (single_tile ? 0 : to[3]) + (double) totals[3];
        return;
    }
    vector *const to = (vector *) partials + weight;
    to[0] += s[0];
    if (left > 1)
        to[1] += s[1];
    if (left > 2)
        to[2] += s[2];
    if (left > 3)
        to[3] += s[3];
}

/* Pads a row to some length with its last value. A row of one value is written in whole vectors, which is faster. */
INLINE void pad_row(real *row, size_t columns, size_t padded)
{
    const real last = row[columns - 1];
    if (columns == 1 && padded > 1) {
        for (size_t c = 0; c < padded; c += LANES)
            *(unaligned *) (row + c) = last - (vector) {0};
        return;
    }
    for (size_t c = columns; c < padded; c++)
        row[c] = last;
}

/* Pads rows to whole vectors. */
INLINE void pad_rows(size_t rows, size_t columns, real *out, size_t out_row)
{
    for (size_t r = 0; r < rows; r++)
        pad_row(out + r*out_row, columns, (columns + LANES - 1)/LANES*LANES);
}

#endif
