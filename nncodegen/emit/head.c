/* @MARK@. Do not edit: change the model and build it again. */

#include "@name@.h"

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

/* A function that is always a part of those that call it: a loop over a function that is called is not vectorized. */
#define INLINE static inline __attribute__((always_inline))

/* What runs once for a batch or an epoch is compiled for size, which takes compilers less time; the loops over samples
   and parameters that it calls are not, and are compiled once, not again for each of their callers. */
#define COLD __attribute__((cold))
#define HOT __attribute__((hot, noinline))

typedef @REAL@ real;
@NOISE@
@NOISE@/* What dropout and noise depend on in an update, and how much of them there is: 1 in training, 0 elsewhere. */
@NOISE@typedef struct {
@NOISE@    uint64_t key;
@NOISE@    real scale;
@NOISE@} randomness;

enum {
@CONSTANTS@
    ALL_SUMS = SUMS + MEASURES,
};

@FLUSH@/* To the end of a block, subnormal numbers count as zero, or (GRADUAL_UNDERFLOW) do not. Where sums are computed and
@FLUSH@   parameters trained they do: some cores take a hundred cycles for each, and nothing here takes a logarithm or a root of
@FLUSH@   them, for which they would not be next to nothing. Predictions keep them, and so does whoever is asked whether a call
@FLUSH@   shall end. */
@FLUSH@#if defined(__SSE2__) && defined(__GNUC__)
@FLUSH@INLINE unsigned change_mode(unsigned set, unsigned cleared)
@FLUSH@{
@FLUSH@    const unsigned before = __builtin_ia32_stmxcsr();
@FLUSH@    __builtin_ia32_ldmxcsr((before & ~cleared) | set);
@FLUSH@    return before;
@FLUSH@}
@FLUSH@
@FLUSH@INLINE void restore_mode(const unsigned *before)
@FLUSH@{
@FLUSH@    __builtin_ia32_ldmxcsr(*before);
@FLUSH@}
@FLUSH@
@FLUSH@#define MODE const unsigned mode __attribute__((unused, cleanup(restore_mode)))
@FLUSH@#define FLUSH_SUBNORMALS MODE = change_mode(0x8040, 0); /* of results, and of operands */
@FLUSH@#define GRADUAL_UNDERFLOW MODE = change_mode(0, 0x8040);
@FLUSH@#else
@FLUSH@#define FLUSH_SUBNORMALS
@FLUSH@#define GRADUAL_UNDERFLOW
@FLUSH@#endif
@FLUSH@
/* Sums, or a maximum, in a loop that may be taken in any fixed order, where the compiler is told so. */
#if defined(NNCODEGEN_SIMD) && !defined(__clang__) /* Clang warns where it cannot follow */
#define PRAGMA(...) _Pragma(#__VA_ARGS__)
#define SUM_LOOP(...) PRAGMA(omp simd reduction(+ : __VA_ARGS__))
#define LARGEST_LOOP(variable) PRAGMA(omp simd reduction(max : variable))
#else
#define SUM_LOOP(...)
#define LARGEST_LOOP(variable)
#endif

/* The bits of a real, of which the first is set in beyond(value) where a value is not finite, and only there: one more than
   the largest exponent overflows into it. Many are put together by |, which takes no longer than a cycle each. */
typedef uint@BITS@_t word;

enum { FIRST_BIT = 8*sizeof(word) - 1 };

INLINE word beyond(real value)
{
    const union { real value; word bits; } v = {value};
    return (v.bits & ~((word) 1 << FIRST_BIT)) + ((word) 1 << (sizeof(real) > 4 ? 52 : 23));
}

@CUT@/* Whether a division that waits for a function of its loop begins the next. Intel's cores rather divide the longest
@CUT@   vectors beside other work; those of AMD, and with shorter vectors all, look too few turns of the loop ahead. The
@CUT@   command of a compiler may decide otherwise. */
@CUT@#if defined(CUT)
@CUT@#elif defined(__AVX512F__) && !defined(__znver4__) && !defined(__znver5__)
@CUT@#define CUT 0
@CUT@#else
@CUT@#define CUT 1
@CUT@#endif
@CUT@
/* A loop no turn of which writes what another one reads: arrays that share memory do so value by value. Where it has few
   turns, GCC would write them out before it looks for vectors, and find none where they choose between values. */
#if defined(__GNUC__) && !defined(__clang__)
#define INDEPENDENT _Pragma("GCC ivdep")
#define INDEPENDENT_FEW INDEPENDENT _Pragma("GCC unroll 1")
#else
#define INDEPENDENT
#define INDEPENDENT_FEW
#endif

