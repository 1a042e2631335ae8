/* What must be said where the bits of results must not depend on the CPU and the compiler: bits="portable".

   Compilers must not reorder sums, and round each result to its type: -ffast-math and arithmetic of the 8087 are
   refused below. They fuse no product with a sum by themselves (-ffp-contract=off); the text says where that is done:
   fused, PLUS_TIMES and its like for values, ADD_PRODUCT for vectors (vectors.h). Without NN_SAME_BITS, all but fused
   are ordinary arithmetic, which compilers may fuse.

   Needs NN_BITS. Gives NN_SAME_BITS, fused, PLUS_TIMES, MINUS_TIMES, TIMES_PLUS, TIMES_MINUS, same_log1p, and functions
   of the C library under their usual names. */

#ifndef NNCODEGEN_SAME_BITS_H
#define NNCODEGEN_SAME_BITS_H

#include <math.h>
#include <stdint.h>

#ifndef NN_SAME_BITS
#define NN_SAME_BITS 0
#endif

#if NN_SAME_BITS
#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || __FINITE_MATH_ONLY__ + 0
#error "this C promises the same bits everywhere: compile it without -ffast-math, -Ofast and their parts, which reorder sums"
#endif
#if __FLT_EVAL_METHOD__ + 0 > 0 && __FLT_EVAL_METHOD__ + 0 != 16
#error "this C promises the same bits everywhere: the compiler must round each result to its type, on 32-bit x86 with -msse2 -mfpmath=sse"
#endif
#endif

/* a*b + c, rounded once. */
#if NN_BITS == 64
#define fused(a, b, c) __builtin_fma(a, b, c)
#else
#define fused(a, b, c) __builtin_fmaf(a, b, c)
#endif

/* Sums with a product, as their names say: c + a*b, c - a*b, a*b + c, a*b - c. They are rounded once where results must
   not depend on the CPU and the compiler. */
#if NN_SAME_BITS
#define PLUS_TIMES(c, a, b) fused(a, b, c)
#define MINUS_TIMES(c, a, b) fused(-(a), b, c)
#define TIMES_PLUS(a, b, c) fused(a, b, c)
#define TIMES_MINUS(a, b, c) fused(a, b, -(c))
#else
#define PLUS_TIMES(c, a, b) ((c) + (a)*(b))
#define MINUS_TIMES(c, a, b) ((c) - (a)*(b))
#define TIMES_PLUS(a, b, c) ((a)*(b) + (c))
#define TIMES_MINUS(a, b, c) ((a)*(b) - (c))
#endif

/* log(1 + x) for x from 0 on, precise for small x as well: what rounding 1 + x loses is added. Without branches, so
   that compilers make vectors of loops that call it. */
static inline __attribute__((always_inline, unused)) double same_log1p(double x)
{
    const double whole = 1 + x, lost = x < 1 ? x - (whole - 1) : 1 - (whole - x);
    const union { double real; uint64_t bits; } w = {whole};
    const union { uint64_t bits; double real; } half = {(w.bits & 0xfffffffffffff) | 0x3fe0000000000000}; /* from 1/2 */
    const union { uint64_t bits; double real; } biased = {(w.bits >> 52) | 0x4330000000000000}; /* 2**52 + exponent */
    const int low = half.real < 0.70710678118654752;
    const double mantissa = low ? 2*half.real : half.real, twos = biased.real - (0x1p52 + 1022) - (low ? 1 : 0);
    const double s = (mantissa - 1)/(mantissa + 1), z = s*s, z2 = z*z; /* up to 0.172, 0.03 */
    const double few = 1 + z*(1.0/3) + z2*(1.0/5 + z*(1.0/7) + z2*(1.0/9 + z*(1.0/11)));
    const double rest = 1.0/13 + z*(1.0/15) + z2*(1.0/17 + z*(1.0/19) + z2*(1.0/21 + z*(1.0/23)));
    const double value = twos*0x1.62e42fefa39efp-1 + (2*s*(few + z2*z2*z2*rest) + lost/whole);
    return x < HUGE_VAL ? value : x;
}

#if NN_SAME_BITS
/* Functions whose last bits differ between C libraries. Of each, the name in the C library becomes that of ours. */

/* base to the power of exponent. The whole part of the exponent is taken by products, the rest by the series of the
   logarithm and of the exponential. */
static inline __attribute__((unused)) double same_power(double base, double exponent)
{
    if (exponent == 0 || base == 1)
        return 1;
    if (base != base || exponent != exponent)
        return (double) NAN;
    if (base == 0)
        return exponent > 0 ? 0 : HUGE_VAL;
    if (base < 0) {
        if (floor(exponent) < exponent)
            return (double) NAN;
        const double even = same_power(-base, exponent);
        return exponent/2 > floor(exponent/2) ? -even : even;
    }
    const double size = fabs(exponent), whole = floor(size), rest = size - whole;
    double power = 1, square = base;
    for (double left = whole; left > 0 && square > 0 && square < HUGE_VAL; left = floor(left/2)) {
        if (left/2 > floor(left/2))
            power *= square;
        square *= square;
    }
    if (whole > 0 && (square == 0 || square == HUGE_VAL))
        power *= square;
    if (rest > 0) {
        int twos = 0;
        const double mantissa = frexp(base, &twos), s = (mantissa - 1)/(mantissa + 1), z = s*s;
        double series = 0;
        for (int k = 61; k > 0; k -= 2)
            series = series*z + 1.0/k;
        const double log = twos*0x1.62e42fefa39efp-1 + 2*s*series, x = rest*log;
        const double n = floor(x*0x1.71547652b82fep+0 + 0.5), r = x - n*0x1.62e42fefa39efp-1;
        double term = 1, sum = 1;
        for (int k = 1; k < 20; k++) {
            term *= r/k;
            sum += term;
        }
        power *= ldexp(sum, (int) n);
    }
    return exponent < 0 ? 1/power : power;
}

/* The largest angle of which a multiple of pi/2 can be subtracted in double. Numbers of that size lie 1/4
   apart. Of larger ones, the series would give numbers of any size: their sines are NaN. */
#define LARGEST_ANGLE 0x1p50

/* The sine of x + quarters*pi/2. A multiple of pi/2, which has three parts, is subtracted first; of the rest, up to
   pi/4, and up to 0.85 of large angles, these polynomials are sine and cosine. Adding shift rounds to a whole number,
   whose last two bits say which of both it is, and with which sign. All parts are above 0, and sine*z is added to 0:
   otherwise the sine of -0 would be 0. Large angles become NaN at the end: of a constant that is known sooner, GCC makes
   a branch of its own, and of the loop no vectors. */
static inline __attribute__((always_inline, unused)) double same_sine(double x, uint64_t quarters)
{
    const double shift = 0x1.8p52;
    const union { double real; uint64_t bits; } k = {__builtin_fma(x, 0x1.45f306dc9c883p-1, shift)};
    const double n = k.real - shift;
    const double near = __builtin_fma(-n, 0x1.921fb54442d18p+0, x);
    const double r = __builtin_fma(-n, 0x1.c1cd129024e09p-107, __builtin_fma(-n, 0x1.1a62633145c06p-54, near));
    const double z = r*r;
    double sine = 0x1.5cf3752a696b6p-33, cosine = -0x1.8f419889c1074p-37;
    sine = __builtin_fma(sine, z, -0x1.ae5c222de3becp-26);
    sine = __builtin_fma(sine, z, 0x1.71de326b6989bp-19);
    sine = __builtin_fma(sine, z, -0x1.a01a01985f3d5p-13);
    sine = __builtin_fma(sine, z, 0x1.111111110d976p-7);
    sine = __builtin_fma(sine, z, -0x1.5555555555534p-3);
    sine = __builtin_fma(__builtin_fma(sine, z, 0), r, r);
    cosine = __builtin_fma(cosine, z, 0x1.1ee92c61919f2p-29);
    cosine = __builtin_fma(cosine, z, -0x1.27e4f71edad1p-22);
    cosine = __builtin_fma(cosine, z, 0x1.a01a019bd54bfp-16);
    cosine = __builtin_fma(cosine, z, -0x1.6c16c16c14f8p-10);
    cosine = __builtin_fma(cosine, z, 0x1.555555555555p-5);
    cosine = __builtin_fma(cosine, z*z, __builtin_fma(z, -0.5, 1));
    const uint64_t quarter = k.bits + quarters;
    const union { double real; uint64_t bits; } size = {quarter & 1 ? cosine : sine};
    const union { uint64_t bits; double real; } value = {size.bits ^ (quarter & 2) << 62};
    return fabs(x) <= LARGEST_ANGLE ? value.real : (double) NAN;
}

/* The same in single precision, below 1.6 ulp. The multiple of pi/2 is subtracted in double; the series, of fewer
   terms, are those of Cephes, in which a vector has twice as many numbers. */
static inline __attribute__((always_inline, unused)) float same_sinef(float x, uint32_t quarters)
{
    const double angle = (double) x, shift = 0x1.8p52;
    const union { double real; uint64_t bits; } k = {__builtin_fma(angle, 0x1.45f306dc9c883p-1, shift)};
    const double n = k.real - shift, near = __builtin_fma(-n, 0x1.921fb54442d18p+0, angle);
    const float r = (float) __builtin_fma(-n, 0x1.1a62633145c07p-54, near), z = r*r;
    float sine = -0x1.9943f2p-13F, cosine = 0x1.99eb9cp-16F;
    sine = __builtin_fmaf(sine, z, 0x1.11073cp-7F);
    sine = __builtin_fmaf(sine, z, -0x1.555546p-3F);
    sine = __builtin_fmaf(__builtin_fmaf(sine, z, 0), r, r);
    cosine = __builtin_fmaf(cosine, z, -0x1.6c0c34p-10F);
    cosine = __builtin_fmaf(cosine, z, 0x1.55554ap-5F);
    cosine = __builtin_fmaf(cosine, z, -0.5F);
    cosine = __builtin_fmaf(cosine, z, 1);
    const uint32_t quarter = (uint32_t) k.bits + quarters;
    const union { float real; uint32_t bits; } size = {quarter & 1 ? cosine : sine};
    const union { uint32_t bits; float real; } value = {size.bits ^ (quarter & 2) << 30};
    return fabsf(x) <= (float) LARGEST_ANGLE ? value.real : NAN;
}

#define pow(base, exponent) same_power(base, exponent)
#define powf(base, exponent) ((float) same_power(base, exponent))
#define log1p(x) same_log1p(x)
#define sin(x) same_sine(x, 0)
#define sinf(x) same_sinef(x, 0)
#define cos(x) same_sine(x, 1)
#define cosf(x) same_sinef(x, 1)
#define tan(x) (same_sine(x, 0)/same_sine(x, 1))
#define tanf(x) ((float) (same_sine(x, 0)/same_sine(x, 1)))
#endif

#endif
