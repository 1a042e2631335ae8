/* The beginning of every kernel: the type of its numbers, its sizes, and what loops tell the compiler.

   Needs a configuration (config.h). Gives real, the sizes as constants, INLINE, HOT and COLD for functions, SUM_LOOP
   and INDEPENDENT for loops, beyond(), maximum(), minimum() and their like, all_finite(). */

#ifndef NNCODEGEN_BASE_H
#define NNCODEGEN_BASE_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "config.h"
#include "names.h"

#if NN_BITS == 64
typedef double real;
typedef uint64_t word; /* the bits of a real */
#else
typedef float real;
typedef uint32_t word;
#endif

enum {
    PARAMETERS = NN_PARAMETERS, INPUTS = NN_INPUTS, TARGETS = NN_TARGETS, OUTPUTS = NN_OUTPUTS,
    TILE = NN_TILE, ARRAYS = NN_ARRAYS, OPERATIONS_PER_SAMPLE = NN_OPERATIONS,
    SUMS = NN_SUMS, GRADIENT_SUMS = NN_GRADIENT_SUMS, LANE_SUMS = NN_LANE_SUMS, DIRECT = NN_DIRECT,
    MEASURES = NN_HAS_METRICS ? 2 + TARGETS : 0, ALL_SUMS = SUMS + MEASURES, LABELS = NN_HAS_CLASSES,
    STATE = NN_STATE, OPTIONS = NN_OPTIONS, WHOLE_INPUTS = NN_WHOLE_INPUTS, WHOLE_TARGETS = NN_WHOLE_TARGETS
};

/* A function that not every model calls. */
#define UNUSED __attribute__((unused))

/* A function that is always a part of those that call it: a loop over a function that is called is not vectorized. */
#define INLINE static inline __attribute__((always_inline, unused))

/* What runs once for a batch or an epoch is compiled for size, which takes compilers less time; the loops over samples
   and parameters that it calls are not, and are compiled once, not again for each of their callers. */
#define COLD __attribute__((cold, unused))
#define HOT __attribute__((hot, noinline, unused))

/* Sums, or a maximum, in a loop that may be taken in any fixed order, where the compiler is told so. */
#if defined(NNCODEGEN_SIMD) && !defined(__clang__) /* Clang warns where it cannot follow */
#define PRAGMA(...) _Pragma(#__VA_ARGS__)
#define SUM_LOOP(...) PRAGMA(omp simd reduction(+ : __VA_ARGS__))
#define LARGEST_LOOP(variable) PRAGMA(omp simd reduction(max : variable))
#else
#define SUM_LOOP(...)
#define LARGEST_LOOP(variable)
#endif

/* A loop no round of which writes what another one reads: arrays that share memory do so value by value. Where it
   has few rounds, GCC would write them out before it looks for vectors, and find none where they choose between
   values. */
#if defined(__GNUC__) && !defined(__clang__)
#define INDEPENDENT _Pragma("GCC ivdep")
#define INDEPENDENT_FEW INDEPENDENT _Pragma("GCC unroll 1")
#else
#define INDEPENDENT
#define INDEPENDENT_FEW
#endif

/* The first of these bits is set where a value is not finite, and only there: one more than the largest exponent
   overflows into it. Many are put together by |, which takes no longer than a cycle each. */
enum { FIRST_BIT = 8*sizeof(word) - 1 };

INLINE word beyond(real value)
{
    const union { real value; word bits; } v = {value};
    return (v.bits & ~((word) 1 << FIRST_BIT)) + ((word) 1 << (sizeof(real) > 4 ? 52 : 23));
}

/* The maximum, or NaN where either is: NaN must not be lost in a comparison. */
INLINE real maximum(real a, real b)
{
    return a > b || a != a ? a : b;
}

/* The minimum, or NaN where either is. */
INLINE real minimum(real a, real b)
{
    return a < b || a != a ? a : b;
}

INLINE real absolute(real value)
{
    return value < 0 ? -value : value;
}

INLINE double larger(double a, double b)
{
    return a > b ? a : b;
}

/* The functions of the C library in the type of numbers. */
INLINE real root(real value)
{
    return sizeof(real) > sizeof(float) ? (real) sqrt((double) value) : (real) sqrtf((float) value);
}

INLINE real magnitude(real value)
{
    return sizeof(real) > sizeof(float) ? (real) fabs((double) value) : (real) fabsf((float) value);
}

/* Whether all values are finite: the sum of their products with 0 is 0, and not NaN. Eight sums are under way at once,
   as each waits for its last addition. */
static UNUSED int all_finite(const real *v, size_t count)
{
    const size_t part = count/8;
    real a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
    SUM_LOOP(a, b, c, d, e, f, g, h)
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

#endif
