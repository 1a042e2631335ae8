/* Vectors of numbers, as long as the registers of the target: the only header that knows instruction sets.

   Needs base.h. Gives vector, wide, LANES, BLOCK_ROWS, VARIANT, CUT, FLUSH_SUBNORMALS, loads and stores, sums of lanes. To
   add an instruction set, add a section at the top. */

#ifndef NNCODEGEN_VECTORS_H
#define NNCODEGEN_VECTORS_H

#include "nncodegen/base/base.h"

#if NN_SAME_BITS && defined(__FMA__)
#include <immintrin.h>
#elif NN_SAME_BITS && defined(__aarch64__)
#include <arm_neon.h>
#endif

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

/* The rows of a block of sums of lanes: half as many, as it has four columns. */
#if BLOCK_ROWS == 8
#define LANE_SUM_ROWS 4
#else
#define LANE_SUM_ROWS 2
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

/* Sums of products, and sums over samples, that lie along vectors have SUM_LANES partial sums, which are added at the
   end: one in each lane of a vector. Where results must not depend on the CPU, there are as many as the longest vectors
   have lanes, and SUM_VECTORS vectors hold them. */
#define SUM_BYTES (NN_SAME_BITS ? 64 : VECTOR_BYTES)

enum {
    LANES = VECTOR_BYTES/sizeof(real),
    SUM_LANES = SUM_BYTES/sizeof(real),
    SUM_VECTORS = SUM_BYTES/VECTOR_BYTES,
    PANEL = 256, /* the number of terms of a part of a long sum: in two of the longest vectors, 32 kB */
    FEW = 4 /* fewer samples than this are multiplied by transposed weights directly, without a copy */
};

/* A tile is padded to a multiple of this number of samples, unless it is one sample. */
#define PAD (HAS_PADDING && TILE > 1 ? LANES : 1)

/* A number of samples, rounded up to whole vectors if there are any. A sum may have lanes that no sample reaches: these
   stay 0, as they would with samples of weight 0. So that an infinite value makes them NaN wherever it would with all
   lanes, a number that does not fill the lanes of a sum is padded with one sample at least. */
#define PADDED(count) \
    (PAD > 1 ? ((count) + (size_t) PAD - ((count)%SUM_LANES == 0))/(size_t) PAD*(size_t) PAD : (count))

INLINE size_t padded(size_t count)
{
    return PADDED(count);
}

#define PARTIALS (DIRECT ? 0 : LANE_SUMS*SUM_LANES)

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
typedef double wide __attribute__((vector_size(VECTOR_BYTES), may_alias));
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

/* Adds the product of two vectors, or of a value and a vector, to a vector s; where results must not depend on the CPU,
   rounded once. */
#if NN_SAME_BITS
#if defined(__AVX512F__)
#define FUSED_DOUBLES(a, b, c) _mm512_fmadd_pd((__m512d) (a), (__m512d) (b), (__m512d) (c))
#define FUSED_FLOATS(a, b, c) _mm512_fmadd_ps((__m512) (a), (__m512) (b), (__m512) (c))
#elif defined(__FMA__)
#define FUSED_DOUBLES(a, b, c) _mm256_fmadd_pd((__m256d) (a), (__m256d) (b), (__m256d) (c))
#define FUSED_FLOATS(a, b, c) _mm256_fmadd_ps((__m256) (a), (__m256) (b), (__m256) (c))
#elif defined(__aarch64__)
#define FUSED_DOUBLES(a, b, c) vfmaq_f64((float64x2_t) (c), (float64x2_t) (a), (float64x2_t) (b))
#define FUSED_FLOATS(a, b, c) vfmaq_f32((float32x4_t) (c), (float32x4_t) (a), (float32x4_t) (b))
#endif

INLINE wide fused_wide(wide a, wide b, wide c)
{
#ifdef FUSED_DOUBLES
    return (wide) FUSED_DOUBLES(a, b, c);
#else
    for (size_t lane = 0; lane < VECTOR_BYTES/sizeof(double); lane++)
        c[lane] = fma(a[lane], b[lane], c[lane]);
    return c;
#endif
}

#if NN_BITS == 64
#define fused_vectors fused_wide
#else
INLINE vector fused_vectors(vector a, vector b, vector c)
{
#ifdef FUSED_FLOATS
    return (vector) FUSED_FLOATS(a, b, c);
#else
    for (size_t lane = 0; lane < LANES; lane++)
        c[lane] = fused(a[lane], b[lane], c[lane]);
    return c;
#endif
}
#endif

#define ADD_PRODUCT(s, a, b) (s) = fused_vectors((a) - (vector) {0}, (b) - (vector) {0}, s)
#else
#define ADD_PRODUCT(s, a, b) (s) += (a)*(b)
#endif

/* The same for four and eight values, of which the longest vectors hold more: of HAS_SHORT_VECTORS. */
#define HAS_SHORT_VECTORS (VECTOR_BYTES == 64 && BLOCK_ROWS == 8)
#if !NN_SAME_BITS || !HAS_SHORT_VECTORS
#define ADD_FOURS(s, a, b) (s) += (a)*(b)
#define ADD_EIGHTS(s, a, b) (s) += (a)*(b)
#elif NN_BITS == 64
#define ADD_FOURS(s, a, b) \
    (s) = (four) _mm256_fmadd_pd((__m256d) ((a) - (four) {0}), (__m256d) ((b) - (four) {0}), (__m256d) (s))
#else
#define ADD_FOURS(s, a, b) \
    (s) = (four) _mm_fmadd_ps((__m128) ((a) - (four) {0}), (__m128) ((b) - (four) {0}), (__m128) (s))
#define ADD_EIGHTS(s, a, b) \
    (s) = (eight) _mm256_fmadd_ps((__m256) ((a) - (eight) {0}), (__m256) ((b) - (eight) {0}), (__m256) (s))
#endif

/* Stores out[position] = s or, if add, out[position] + scale*s; then multiplies by factor[position], unless that is
   NULL. All values are vectors. */
INLINE void keep(vector s, real *out, size_t position, const real *factor, int add, real scale)
{
    if (add) {
        vector sum = load(out + position);
        ADD_PRODUCT(sum, scale, s);
        s = sum;
    }
    if (factor)
        s *= load(factor + position);
    *(unaligned *) (out + position) = s;
}

/* Like keep, for the first lanes of a vector, at the end of a row without padding. The values after these are read,
   and written back unchanged; memory for them exists even at the end of the array. */
INLINE void keep_first(vector s, size_t lanes, real *out, int add, real scale)
{
    const vector there = load(out);
    if (add) {
        vector sum = there;
        ADD_PRODUCT(sum, scale, s);
        s = sum;
    }
    words first = {0};
    for (size_t lane = 0; lane < LANES; lane++)
        first[lane] = lane < lanes ? ~(word) 0 : 0;
    *(unaligned *) out = (vector) (((words) s & first) | ((words) there & ~first));
}

#if NN_SAME_BITS
/* Returns SUM_LANES values, of which each half is added to the other until four are left. */
INLINE four folded(const vector *s)
{
    const real *const values = (const real *) s;
#if NN_BITS == 64
    return *(const unaligned_four *) values + *(const unaligned_four *) (values + 4);
#else
    const eight both = *(const unaligned_eight *) values + *(const unaligned_eight *) (values + 8);
    return ((const unaligned_four *) &both)[0] + ((const unaligned_four *) &both)[1];
#endif
}

/* Returns the sum of SUM_LANES values, in SUM_VECTORS vectors. */
INLINE real sum_of_lanes(const vector *s)
{
    const four last = folded(s);
    return (last[0] + last[1]) + (last[2] + last[3]);
}
#else
/* Returns the sum of the lanes of a vector. Its halves are added as vectors, which is faster than extracting each
   lane. */
INLINE real sum_of_lanes(const vector *whole)
{
    const vector s = *whole;
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
#endif

/* Computes the sum of the values of each of four short vectors. */
INLINE void add_fours(const four *a, four *sums)
{
#if SHUFFLES && NN_BITS == 64 && NN_SAME_BITS /* which moves fewer values from one half of a vector to the other */
    const four b0 = __builtin_shufflevector(a[0], a[1], 0, 4, 2, 6) + __builtin_shufflevector(a[0], a[1], 1, 5, 3, 7);
    const four b1 = __builtin_shufflevector(a[2], a[3], 0, 4, 2, 6) + __builtin_shufflevector(a[2], a[3], 1, 5, 3, 7);
    *sums = __builtin_shufflevector(b0, b1, 0, 1, 4, 5) + __builtin_shufflevector(b0, b1, 2, 3, 6, 7);
#elif SHUFFLES
    const four b0 = NEIGHBOURS_4(a[0], a[1]), b1 = NEIGHBOURS_4(a[2], a[3]);
    *sums = NEIGHBOURS_4(b0, b1);
#else
    for (size_t k = 0; k < 4; k++)
        (*sums)[k] = (a[k][0] + a[k][1]) + (a[k][2] + a[k][3]);
#endif
}

/* The halves of two vectors of 8 or 16 values, added up: the results of the first, then those of the second. */
#if SHUFFLES
#define HALVES_8(a, b) \
    __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11) + __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15)
#define HALVES_16(a, b) \
    __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) \
    + __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)
#endif

/* Computes the sum of the lanes of each of four vectors, or of four times SUM_VECTORS. Where results must not depend on
   the CPU, each sum adds halves until four values are left, and then neighbours, as sum_of_lanes does; the longer
   vectors do so for several sums at once. */
INLINE void sums_of_four(const vector *s, four *sums)
{
#if NN_SAME_BITS
#if SHUFFLES && NN_BITS == 64
    if (LANES == 8) {
        const unaligned_eight *const a = (const unaligned_eight *) s;
        const eight p = HALVES_8(a[0], a[1]), q = HALVES_8(a[2], a[3]);
        const eight two = __builtin_shufflevector(p, q, 0, 8, 2, 10, 4, 12, 6, 14)
            + __builtin_shufflevector(p, q, 1, 9, 3, 11, 5, 13, 7, 15);
        *sums = __builtin_shufflevector(two, two, 0, 4, 1, 5) + __builtin_shufflevector(two, two, 2, 6, 3, 7);
        return;
    }
#elif SHUFFLES
    if (LANES == 16) {
        const unaligned_sixteen *const a = (const unaligned_sixteen *) s;
        const sixteen p = HALVES_16(a[0], a[1]), q = HALVES_16(a[2], a[3]);
        const sixteen r = __builtin_shufflevector(p, q, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
            + __builtin_shufflevector(p, q, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
        const sixteen two = r + __builtin_shufflevector(r, r, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
        const sixteen all
            = two + __builtin_shufflevector(two, two, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
        *sums = __builtin_shufflevector(all, all, 0, 4, 8, 12);
        return;
    }
    if (LANES == 8) {
        const unaligned_eight *const a = (const unaligned_eight *) s;
        const eight a0 = a[0] + a[1], a1 = a[2] + a[3], a2 = a[4] + a[5], a3 = a[6] + a[7];
        const eight p = HALVES_8(a0, a1), q = HALVES_8(a2, a3), two = NEIGHBOURS_8(p, q), all = NEIGHBOURS_8(two, two);
        *sums = __builtin_shufflevector(all, all, 0, 4, 1, 5);
        return;
    }
#endif
    add_fours((const four [4]) {folded(s), folded(s + SUM_VECTORS), folded(s + 2*SUM_VECTORS),
        folded(s + 3*SUM_VECTORS)}, sums);
    return;
#elif SHUFFLES
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
        (*sums)[k] = sum_of_lanes(s + k);
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
    vector *const to = (vector *) partials + weight*SUM_VECTORS;
    for (size_t k = 0; k < SUM_VECTORS; k++)
        to[k] += s[k];
    for (size_t k = SUM_VECTORS; left > 1 && k < 2*SUM_VECTORS; k++)
        to[k] += s[k];
    for (size_t k = 2*SUM_VECTORS; left > 2 && k < 3*SUM_VECTORS; k++)
        to[k] += s[k];
    for (size_t k = 3*SUM_VECTORS; left > 3 && k < 4*SUM_VECTORS; k++)
        to[k] += s[k];
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
