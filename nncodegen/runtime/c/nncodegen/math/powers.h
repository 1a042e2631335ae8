/* Powers without branches, so that compilers make vectors of loops that call them; their bits depend on neither the CPU
   nor the compiler. power_scalar is for one power at a time: what power_of chooses is a branch that is seldom taken.

   Needs base.h. Gives power_of and power_scalar, with the same bits, if NN_SAME_BITS. */

#ifndef NNCODEGEN_POWERS_H
#define NNCODEGEN_POWERS_H

#include "nncodegen/base/base.h"

#if NN_SAME_BITS
#if NN_BITS == 64
#include "nncodegen/math/functions64.h"
#endif

/* A number above 0, size*2**-twos, as 2**k*(1 + f), with f from -0.29 to 0.41; d = 2 + f, r = 1/d, s = f/d. The
   exponent is added to 0*f, which changes nothing: where it is the same in a whole loop, compilers would otherwise make
   loops for each of its cases, in none of which there are vectors. */
typedef struct {
    double k, f, d, r, s, exponent;
} power_parts;

static inline __attribute__((always_inline, unused)) power_parts split_normal(double size, double twos,
    double exponent)
{
    const union { double real; uint64_t bits; } whole = {size};
    const uint64_t offset = whole.bits - UINT64_C(0x3fe6a09e667f3bcd); /* of sqrt(1/2) */
    const union { uint64_t bits; double real; } mantissa = {whole.bits - (offset & UINT64_C(0xfff0000000000000))};
    const union { uint64_t bits; double real; } biased
        = {UINT64_C(0x4330000000000000) | (offset + (UINT64_C(1100) << 52)) >> 52};
    power_parts p;
    p.k = biased.real - (0x1p52 + 1100) - twos;
    p.f = mantissa.real - 1;
    p.d = 2 + p.f;
    p.r = 1/p.d;
    p.s = p.f*p.r;
    p.exponent = exponent + 0*p.f;
    return p;
}

/* The same of a number that may be subnormal. */
static inline __attribute__((always_inline, unused)) power_parts split_base(double size, double exponent)
{
    return split_normal(size < 0x1p-1022 ? size*0x1p54 : size, size < 0x1p-1022 ? 54 : 0, exponent);
}

/* Chooses between the power of the size of a base and what C's pow is for 0, infinity, NaN, and a base with the sign -:
   of these, whole exponents give the power with the sign of the product, and others NaN, unless the base is -0 or
   -infinity. Only 0 and infinities are equal to their halves. This is done in the precision of the model: a vector has
   twice as many numbers in single precision. */
#if NN_BITS == 64
#define WHOLE(value) floor(value)
#define WITH_SIGN(value, sign) __builtin_copysign(value, sign)
#else
#define WHOLE(value) floorf(value)
#define WITH_SIGN(value, sign) __builtin_copysignf(value, sign)
#endif
static inline __attribute__((always_inline, unused)) real power_in_cases(real base, real exponent, real value)
{
    const real infinity = (real) HUGE_VAL, size = magnitude(base), far = (exponent > 0) == (size > 1) ? infinity : 0;
    const real found = size > 0 && size < infinity ? value : far, half = exponent*(real) 0.5;
    const real broken = size > 0 && size < infinity ? (real) NAN : far;
    const real turned = WHOLE(exponent) != exponent ? broken : WHOLE(half) == half ? found : -found;
    const real signed_one = WITH_SIGN(1, base);
    const real known = base != base || exponent != exponent ? (real) NAN : signed_one < 0 ? turned : found;
    return exponent == 0 || base == 1 || (base == -1 && half == exponent) ? 1 : known;
}

#if NN_BITS == 64
typedef struct {
    double high, low;
} power_product;

/* The exponent times the logarithm 2*(s + s*u) + k*log(2), where u = z/3 + z*z*q with z = s*s, up to 0.03. The
   logarithm has a second part, which holds what rounding the first one loses, and so has the product. */
static inline __attribute__((always_inline, unused)) power_product times_logarithm(power_parts b)
{
    const double exponent = b.exponent, s = b.s, s_low = (__builtin_fma(-s, b.d, b.f) - s*(b.f - (b.d - 2)))*b.r;
    const double z = s*s, z_low = __builtin_fma(s, s, -z) + 2*s*s_low, z2 = z*z;
    const double q01 = __builtin_fma(z, 0x1.2492492492521p-3, 0x1.999999999999ap-3);
    const double q23 = __builtin_fma(z, 0x1.745d177a96056p-4, 0x1.c71c71c6eaa10p-4);
    const double q45 = __builtin_fma(z, 0x1.1118c7e4b0917p-4, 0x1.3b1395d2190c1p-4);
    const double q67 = __builtin_fma(z, 0x1.e02e6fff27908p-5, 0x1.df7cc8e5fa539p-5);
    const double q = __builtin_fma(z2*z2, __builtin_fma(z2, q67, q45), __builtin_fma(z2, q23, q01));
    const double t = z*0x1.5555555555555p-2, rest = z2*q, u = t + rest;
    const double t_low = __builtin_fma(z, 0x1.5555555555555p-2, -t)
        + __builtin_fma(z_low, 0x1.5555555555555p-2, z*0x1.5555555555555p-56);
    const double v = s*u, w = s + v;
    const double v_low = __builtin_fma(s, u, -v) + __builtin_fma(s, t - u + rest + t_low, s_low*u);
    const double w_low = s - w + v + (v_low + s_low);
    const double twos = b.k*0x1.62e42fefp-1, log = __builtin_fma(2, w, twos); /* twos is exact */
    const double log_low = __builtin_fma(2, w, twos - log) + __builtin_fma(2, w_low, b.k*0x1.473de6af278edp-34);
    const double high = exponent*log;
    const power_product product = {high, __builtin_fma(exponent, log_low, __builtin_fma(exponent, log, -high))};
    return product;
}

/* The exponential of a product, like exp_precise, as p*2**n: the low bits of n + 3*2**51 hold n. */
typedef struct {
    double p;
    uint64_t bits;
} power_exponential;

static inline __attribute__((always_inline, unused)) power_exponential exponential_of(double e, double e_low)
{
    const double shift = 0x1.8p52;
    const union { double real; uint64_t bits; } n = {__builtin_fma(e, 0x1.71547652b82fep+0, shift)};
    const double whole = n.real - shift, high = __builtin_fma(-whole, 0x1.62e42fefp-1, e);
    const double p = 1 + (high + exp_tail(high, __builtin_fma(whole, 0x1.473de6af278edp-34, -e_low)));
    const power_exponential found = {p, n.bits};
    return found;
}

/* base to another power, within 1.1 units in the last place where the result is a normal number. The exponential of a
   product beyond 800 is infinity or 0. */
static inline __attribute__((always_inline, unused)) double power_of(double base, double power)
{
    const power_parts b = split_base(fabs(base), power);
    const power_product product = times_logarithm(b);
    const double e = product.high > 800 ? 800 : product.high < -800 ? -800 : product.high;
    const power_exponential found = exponential_of(e, fabs(product.high) > 800 ? 0 : product.low);
    const uint64_t two = (found.bits + 2048) & 4095, half = two >> 1; /* 2**n in two factors: it may be subnormal */
    const union { uint64_t bits; double real; } first = {(half - 1) << 52}, second = {(two - half - 1) << 52};
    return power_in_cases(base, b.exponent, found.p*first.real*second.real);
}

RARE double power_outside(double base, double power)
{
    return power_of(base, power);
}

INLINE double power_scalar(double base, double power)
{
    const power_product product = times_logarithm(split_normal(base, 0, power));
    if (!(base >= 0x1p-1022 && base < HUGE_VAL && fabs(product.high) < 700))
        return power_outside(base, power);
    const power_exponential found = exponential_of(product.high, product.low);
    const union { uint64_t bits; double real; } two = {(found.bits + 1023) << 52};
    return found.p*two.real;
}
#else
/* The exponent times the logarithm, in double precision, of which a power needs two thirds. */
static inline __attribute__((always_inline, unused)) double times_logarithm(power_parts b)
{
    const double z = b.s*b.s, z2 = z*z;
    const double q01 = __builtin_fma(z, 0x1.9999eb63e783dp-3, 0x1.5555554bb1b2fp-2);
    const double q23 = __builtin_fma(z, 0x1.ddcf7101b6371p-4, 0x1.245c40aecb50cp-3);
    const double w = __builtin_fma(b.s*z, __builtin_fma(z2, q23, q01), b.s);
    return b.exponent*__builtin_fma(b.k, 0x1.62e42fefa39efp-1, 2*w);
}

/* exp(e), rounded once. */
static inline __attribute__((always_inline, unused)) float exponential_of(double e)
{
    const double shift = 0x1.8p52;
    const union { double real; uint64_t bits; } n = {__builtin_fma(e, 0x1.71547652b82fep+0, shift)};
    const double x = __builtin_fma(-(n.real - shift), 0x1.62e42fefa39efp-1, e), x2 = x*x;
    const double e01 = __builtin_fma(x, 0x1.5555555a78ed4p-3, 0x1.0000000b9129bp-1);
    const double e23 = __builtin_fma(x, 0x1.1110e0f238322p-7, 0x1.5554e9063586ep-5);
    const double e45 = __builtin_fma(x, 0x1.a124f19fe89acp-13, 0x1.6d43246b523b4p-10);
    const double series = __builtin_fma(x2, __builtin_fma(x2, __builtin_fma(x2, e45, e23), e01), x);
    const union { uint64_t bits; double real; } two = {(n.bits + 1023) << 52};
    return (float) __builtin_fma(two.real, series, two.real);
}

/* base to another power. */
static inline __attribute__((always_inline, unused)) float power_of(float base, float power)
{
    const power_parts b = split_base(fabs((double) base), (double) power);
    const double product = times_logarithm(b);
    const float found = exponential_of(product > 150 ? 150 : product < -150 ? -150 : product);
    return power_in_cases(base, (float) b.exponent, found);
}

RARE float power_outside(float base, float power)
{
    return power_of(base, power);
}

INLINE float power_scalar(float base, float power)
{
    const double product = times_logarithm(split_normal((double) base, 0, (double) power));
    if (!(base > 0 && base < HUGE_VALF && fabs(product) < 150))
        return power_outside(base, power);
    return exponential_of(product);
}
#endif
#endif

#endif
