/* The beginning of every kernel: the type of its numbers, its sizes, hints to the compiler, and small functions.

   Needs sizes.h, and NN_BITS. Gives real, INLINE, RARE, HOT, COLD and BLENDED for functions, SUM_LOOP, EXACT_SUM_LOOP,
   INDEPENDENT, LANES_LOOP and FEW_ROUNDS for loops, WITHIN_TILE, beyond(), maximum(), minimum() and their like,
   all_finite(), few_finite(). */

#ifndef NNCODEGEN_BASE_H
#define NNCODEGEN_BASE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "nncodegen/base/names.h"
#include "nncodegen/base/same_bits.h"
#include "nncodegen/base/sizes.h"

#if NN_BITS == 64
typedef double real;
typedef uint64_t word; /* the bits of a real */
#else
typedef float real;
typedef uint32_t word;
#endif

/* A function that not every model calls. */
#define UNUSED __attribute__((unused))

/* A function that is always inlined: compilers do not vectorize a loop that contains a call. */
#define INLINE static inline __attribute__((always_inline, unused))

/* A function of one value that loops call, but hardly ever. */
#define RARE static __attribute__((cold, const, noinline, unused))

/* COLD functions run once for each batch or epoch; in each model they are compiled for size, which takes less time. HOT
   functions are loops over samples or parameters; they are compiled for speed, and only once, not inlined into each
   caller. */
#ifdef NNCODEGEN_LIBRARY
#define COLD UNUSED
#else
#define COLD __attribute__((cold, unused))
#endif
#define HOT __attribute__((hot, noinline, unused))

/* A function whose loops compute all branches of a choice, and select. GCC would move a call of the C library to the
   branch that reads its value, and then find no vectors: the functions of the C library have no version for a part of a
   vector (exp, sqrt*log and cos/x by ranges of x, 2^20 points, AVX-512: 15.8 ms instead of 2.3). */
#if defined(__GNUC__) && !defined(__clang__)
#define BLENDED __attribute__((optimize("no-tree-sink")))
#else
#define BLENDED
#endif

/* Before a loop: the compiler may reorder the sums in these variables, or the maximum, to use vectors. Where results
   must not depend on the compiler, it may not reorder sums, but those that are equal in any order (EXACT_SUM_LOOP). The
   maximum is the same in any order, but for the sign of 0 and for NaN, which vectors lose; LARGEST_OR_NAN_LOOP adds to
   another variable what is NaN, and 0 for all else. */
#if defined(NNCODEGEN_SIMD) && !defined(__clang__) /* Clang warns if it cannot vectorize */
#define PRAGMA(...) _Pragma(#__VA_ARGS__)
#endif
#if defined(NNCODEGEN_SIMD) && !defined(__clang__)
#define EXACT_SUM_LOOP(...) PRAGMA(omp simd reduction(+ : __VA_ARGS__))
#define LARGEST_LOOP(variable) PRAGMA(omp simd reduction(max : variable))
#define LARGEST_OR_NAN_LOOP(variable, nan) PRAGMA(omp simd reduction(max : variable) reduction(+ : nan))
#else
#define EXACT_SUM_LOOP(...)
#define LARGEST_LOOP(variable)
#define LARGEST_OR_NAN_LOOP(variable, nan)
#endif
#if NN_SAME_BITS
#define SUM_LOOP(...)
#else
#define SUM_LOOP(...) EXACT_SUM_LOOP(__VA_ARGS__)
#endif

/* Before a loop: no iteration writes what another one reads. INDEPENDENT_FEW is for loops of few iterations: GCC would
   unroll them before it looks for vectors, and then find none if an iteration selects between values. */
#if defined(__GNUC__) && !defined(__clang__)
#define INDEPENDENT _Pragma("GCC ivdep")
#define INDEPENDENT_FEW INDEPENDENT _Pragma("GCC unroll 1")
#else
#define INDEPENDENT
#define INDEPENDENT_FEW
#endif

/* Before a loop over the lanes of vectors, which do not depend on each other: samples, fits or models. */
#if defined(NNCODEGEN_SIMD) && !defined(__clang__)
#define LANES_LOOP PRAGMA(omp simd)
#else
#define LANES_LOOP
#endif

/* Before a loop with a small and constant number of iterations. */
#if defined(__GNUC__) && !defined(__clang__)
#define FEW_ROUNDS _Pragma("GCC unroll 8")
#else
#define FEW_ROUNDS
#endif

/* Tells the compiler how many samples there can be, which it does not see where a kernel is called by its address. */
#define WITHIN_TILE(count) \
    if ((count) > TILE) \
        __builtin_unreachable()

/* The number of the first bit of a word. */
enum { FIRST_BIT = 8*sizeof(word) - 1 };

/* Returns a word whose first bit is set exactly if the value is infinite or NaN: then all bits of the exponent are
   set, so that adding 1 to it overflows into the first bit. The words of many values are combined by |, which is
   fast. */
INLINE word beyond(real value)
{
    const union { real value; word bits; } v = {value};
    return (v.bits & ~((word) 1 << FIRST_BIT)) + ((word) 1 << (sizeof(real) > 4 ? 52 : 23));
}

/* Returns the index that a value represents, or count if it is not a whole number from 0 to count - 1. */
INLINE size_t number_in(real value, size_t count)
{
    const size_t number = value >= 0 && value < (real) count ? (size_t) value : count;
    return (real) number == value ? number : count;
}

/* Returns the maximum, or NaN if either is NaN: NaN must not be lost in a comparison. */
INLINE real maximum(real a, real b)
{
    const real chosen = a > b ? a : b; /* b if either is NaN */
    return a != a ? a : chosen;
}

/* Returns the minimum, or NaN if either is NaN. */
INLINE real minimum(real a, real b)
{
    const real chosen = a < b ? a : b;
    return a != a ? a : chosen;
}

INLINE real absolute(real value)
{
    return value < 0 ? -value : value;
}

INLINE double larger(double a, double b)
{
    return a > b ? a : b;
}

/* The square root and the absolute value, from the C library for this type of numbers. */
INLINE real root(real value)
{
    return sizeof(real) > sizeof(float) ? (real) sqrt((double) value) : (real) sqrtf((float) value);
}

INLINE real magnitude(real value)
{
    return sizeof(real) > sizeof(float) ? (real) fabs((double) value) : (real) fabsf((float) value);
}

/* Returns whether all values are finite: then the sum of their products with 0 is 0, otherwise it is NaN. There are
   eight sums, so that additions need not wait for each other. */
static UNUSED int all_finite(const real *v, size_t count)
{
    const size_t part = count/8;
    real a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
    EXACT_SUM_LOOP(a, b, c, d, e, f, g, h)
    for (size_t k = 0; k < part; k++) {
        a += v[k]*0;
        b += v[part + k]*0;
        c += v[2*part + k]*0;
        d += v[3*part + k]*0;
        e += v[4*part + k]*0;
        f += v[5*part + k]*0;
        g += v[6*part + k]*0;
        h += v[7*part + k]*0;
    }
    for (size_t k = 8*part; k < count; k++)
        a += v[k]*0;
    return (a + b + c + d) + (e + f + g + h) == 0;
}

/* Like all_finite, but faster for short arrays: the eight sums are side by side. For arrays larger than the caches,
   all_finite, which reads eight separate parts, is faster. */
static UNUSED int few_finite(const real *v, size_t count)
{
    enum { AT_ONCE = 64 };
    const size_t rest = count%AT_ONCE;
    real sum = 0;
    if (count >= AT_ONCE) {
        real sums[AT_ONCE] = {0};
        for (size_t k = 0; k < count - rest; k += AT_ONCE)
            for (size_t j = 0; j < AT_ONCE; j++)
                sums[j] += v[k + j]*0;
        EXACT_SUM_LOOP(sum)
        for (size_t j = 0; j < AT_ONCE; j++)
            sum += sums[j];
    }
    EXACT_SUM_LOOP(sum)
    for (size_t j = 0; j < rest; j++)
        sum += v[count - rest + j]*0;
    return sum == 0;
}

#endif
