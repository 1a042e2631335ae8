/* Functions in double precision without branches, so that compilers make vectors of loops that call them. Their errors
   are below 2 units in the last place.

   Where the bits of results must not depend on the CPU and the compiler, the text says which products are added without
   being rounded (PLUS_TIMES and its like in same_bits.h); elsewhere, the compiler chooses.

   Needs base.h with NN_BITS 64. Gives exp_of, expm1_of, decay_of, log_of, log1p_of, tanh_of and its parts, erf_of,
   erfc_of, odds_of, faddeeva_real_of, faddeeva_imag_of; and exp_scalar, odds and their like for one argument
   at a time. */

#ifndef NNCODEGEN_FUNCTIONS64_H
#define NNCODEGEN_FUNCTIONS64_H

#include "nncodegen/base/base.h"

/* (exp(r) - 1 - r)/(r*r) for |r| <= log(2)/2. */
INLINE double exp_rest(double r)
{
    const double r2 = r*r;
    const double q01 = PLUS_TIMES(0x1p-1, r, 0x1.5555555555556p-3);
    const double q23 = PLUS_TIMES(0x1.5555555553d37p-5, r, 0x1.11111111109a6p-7);
    const double q45 = PLUS_TIMES(0x1.6c16c1789d1d7p-10, r, 0x1.a01a01a7cebcdp-13);
    const double q67 = PLUS_TIMES(0x1.a019b8ca26fcfp-16, r, 0x1.71de0d85293b8p-19);
    const double q89 = PLUS_TIMES(0x1.2891d4ffbb0f9p-22, r, 0x1.af390ba7e6f47p-26);
    return PLUS_TIMES(q01, r2, PLUS_TIMES(q23, r2, PLUS_TIMES(q45, r2, PLUS_TIMES(q67, r2, q89))));
}

/* exp(r) - 1 - high for r = high - low. */
INLINE double exp_tail(double high, double low)
{
    const double r = high - low;
    return TIMES_MINUS(r*r, exp_rest(r), low);
}

/* exp(x - n*log(2)) - 1, with log(2) as a head, for which n*head is exact, and a rest. */
INLINE double exp_precise(double x, double n)
{
    const double high = MINUS_TIMES(x, n, 0x1.62e42fefp-1);
    return high + exp_tail(high, n*0x1.473de6af278edp-34);
}

/* exp(x - n*log(2)) - 1, like exp_precise. If products are fused, r is rounded only once, and is not corrected for
   that; otherwise, tanh would lose digits without the correction. */
INLINE double exp_reduced(double x, double n)
{
#if NN_SAME_BITS || defined(FP_FAST_FMA)
    const double r = MINUS_TIMES(MINUS_TIMES(x, n, 0x1.62e42fefp-1), n, 0x1.473de6af278edp-34);
    return PLUS_TIMES(r, r*r, exp_rest(r));
#else
    return exp_precise(x, n);
#endif
}

/* exp(x), for all x: x = k*log(2) + r with |r| <= log(2)/2. The two ends are compared in different
   variables: from two comparisons of one variable with constants, GCC makes four. */
INLINE double exp_of(double x)
{
    const double shift = 0x1.8p52; /* adding it rounds to an integer, which the low bits then hold */
    const union { double real; uint64_t bits; } k = {TIMES_PLUS(x, 0x1.71547652b82fep+0, shift)};
    const double n = k.real - shift;
    const double p = 1 + exp_reduced(x, n);
    const uint64_t biased = (k.bits + 2048) & 4095, half = biased >> 1; /* 2**k in two factors: it may be subnormal */
    const union { uint64_t bits; double real; } first = {(half - 1) << 52}, second = {(biased - half - 1) << 52};
    const double value = p*first.real*second.real;
    return n < -1076 ? 0 : x > 710 ? HUGE_VAL : value;
}

/* exp(x) for one x at a time, in parts: x = (k + j/128)*log(2) + r, where scale = 2**(k + j/128) is
   from a table, whose bits are those of 2**(j/128) less j << 45. The part of log(2) beyond this precision is added to r
   in full. Then exp(x) = scale + scale*full + scale*r*r*q. */
static const uint64_t exp_table[128] = {
    0x3ff0000000000000, 0x3feff63da9fb3335, 0x3fefec9a3e778061, 0x3fefe315e86e7f85,
    0x3fefd9b0d3158574, 0x3fefd06b29ddf6de, 0x3fefc74518759bc8, 0x3fefbe3ecac6f383,
    0x3fefb5586cf9890f, 0x3fefac922b7247f7, 0x3fefa3ec32d3d1a2, 0x3fef9b66affed31b,
    0x3fef9301d0125b51, 0x3fef8abdc06c31cc, 0x3fef829aaea92de0, 0x3fef7a98c8a58e51,
    0x3fef72b83c7d517b, 0x3fef6af9388c8dea, 0x3fef635beb6fcb75, 0x3fef5be084045cd4,
    0x3fef54873168b9aa, 0x3fef4d5022fcd91d, 0x3fef463b88628cd6, 0x3fef3f49917ddc96,
    0x3fef387a6e756238, 0x3fef31ce4fb2a63f, 0x3fef2b4565e27cdd, 0x3fef24dfe1f56381,
    0x3fef1e9df51fdee1, 0x3fef187fd0dad990, 0x3fef1285a6e4030b, 0x3fef0cafa93e2f56,
    0x3fef06fe0a31b715, 0x3fef0170fc4cd831, 0x3feefc08b26416ff, 0x3feef6c55f929ff1,
    0x3feef1a7373aa9cb, 0x3feeecae6d05d866, 0x3feee7db34e59ff7, 0x3feee32dc313a8e5,
    0x3feedea64c123422, 0x3feeda4504ac801c, 0x3feed60a21f72e2a, 0x3feed1f5d950a897,
    0x3feece086061892d, 0x3feeca41ed1d0057, 0x3feec6a2b5c13cd0, 0x3feec32af0d7d3de,
    0x3feebfdad5362a27, 0x3feebcb299fddd0d, 0x3feeb9b2769d2ca7, 0x3feeb6daa2cf6642,
    0x3feeb42b569d4f82, 0x3feeb1a4ca5d920f, 0x3feeaf4736b527da, 0x3feead12d497c7fd,
    0x3feeab07dd485429, 0x3feea9268a5946b7, 0x3feea76f15ad2148, 0x3feea5e1b976dc09,
    0x3feea47eb03a5585, 0x3feea34634ccc320, 0x3feea23882552225, 0x3feea155d44ca973,
    0x3feea09e667f3bcd, 0x3feea012750bdabf, 0x3fee9fb23c651a2f, 0x3fee9f7df9519484,
    0x3fee9f75e8ec5f74, 0x3fee9f9a48a58174, 0x3fee9feb564267c9, 0x3feea0694fde5d3f,
    0x3feea11473eb0187, 0x3feea1ed0130c132, 0x3feea2f336cf4e62, 0x3feea427543e1a12,
    0x3feea589994cce13, 0x3feea71a4623c7ad, 0x3feea8d99b4492ed, 0x3feeaac7d98a6699,
    0x3feeace5422aa0db, 0x3feeaf3216b5448c, 0x3feeb1ae99157736, 0x3feeb45b0b91ffc6,
    0x3feeb737b0cdc5e5, 0x3feeba44cbc8520f, 0x3feebd829fde4e50, 0x3feec0f170ca07ba,
    0x3feec49182a3f090, 0x3feec86319e32323, 0x3feecc667b5de565, 0x3feed09bec4a2d33,
    0x3feed503b23e255d, 0x3feed99e1330b358, 0x3feede6b5579fdbf, 0x3feee36bbfd3f37a,
    0x3feee89f995ad3ad, 0x3feeee07298db666, 0x3feef3a2b84f15fb, 0x3feef9728de5593a,
    0x3feeff76f2fb5e47, 0x3fef05b030a1064a, 0x3fef0c1e904bc1d2, 0x3fef12c25bd71e09,
    0x3fef199bdd85529c, 0x3fef20ab5fffd07a, 0x3fef27f12e57d14b, 0x3fef2f6d9406e7b5,
    0x3fef3720dcef9069, 0x3fef3f0b555dc3fa, 0x3fef472d4a07897c, 0x3fef4f87080d89f2,
    0x3fef5818dcfba487, 0x3fef60e316c98398, 0x3fef69e603db3285, 0x3fef7321f301b460,
    0x3fef7c97337b9b5f, 0x3fef864614f5a129, 0x3fef902ee78b3ff6, 0x3fef9a51fbc74c83,
    0x3fefa4afa2a490da, 0x3fefaf482d8e67f1, 0x3fefba1bee615a27, 0x3fefc52b376bba97,
    0x3fefd0765b6e4540, 0x3fefdbfdad9cbe14, 0x3fefe7c1819e90d8, 0x3feff3c22b8f71f1
};

typedef struct {
    double scale, r, full, q;
} exp_parts;

INLINE exp_parts exp_split(double x)
{
    const double shift = 0x1.8p52;
    const union { double real; uint64_t bits; } k = {TIMES_PLUS(x, 0x1.71547652b82fep+7, shift)};
    const union { uint64_t bits; double real; } scale = {exp_table[k.bits & 127] + (k.bits << 45)};
    const double n = k.real - shift;
    exp_parts parts;
    parts.scale = scale.real;
#if NN_SAME_BITS || defined(FP_FAST_FMA)
    parts.r = fma(n, -0x1.62e42fefa39efp-8, x);
    parts.full = MINUS_TIMES(parts.r, n, 0x1.abc9e3b39803fp-63);
#else
    parts.r = (x - n*0x1.62e42fefp-8) - n*0x1.473de6af278edp-41;
    parts.full = parts.r;
#endif
    const double q01 = PLUS_TIMES(0x1p-1, parts.r, 0x1.5555555555555p-3);
    const double q23 = PLUS_TIMES(0x1.5555555555555p-5, parts.r, 0x1.1111111111111p-7);
    parts.q = PLUS_TIMES(q01, parts.r*parts.r, q23);
    return parts;
}

/* exp_of for the few x that exp_split does not take. It is called, not inlined: with a copy in each of its callers,
   a formula that is trained in registers took compilers a quarter longer. */
RARE double exp_outside(double x)
{
    return exp_of(x);
}

/* exp(x), whose parts are added in the order in which they are ready. */
INLINE double exp_scalar(double x)
{
    if (!(fabs(x) < 700))
        return exp_outside(x);
    const exp_parts e = exp_split(x);
    return PLUS_TIMES(PLUS_TIMES(e.scale, e.scale, e.full), e.scale*(e.r*e.r), e.q);
}

/* 1 + exp(x), ready as soon as exp(x) itself would be. */
INLINE double exp_plus_1(double x)
{
    if (!(fabs(x) < 700))
        return 1 + exp_outside(x);
    const exp_parts e = exp_split(x);
    return PLUS_TIMES(PLUS_TIMES(1 + e.scale, e.scale, e.full), e.scale*(e.r*e.r), e.q);
}

/* exp(-t); for t below -650, exp(650), so that no product with it overflows: a quotient by 1 + odds(t)
   is next to 0 in either case. */
INLINE double odds(double t)
{
    if (!(fabs(t) < 650))
        return exp_outside(t < -650 ? 650 : -t);
    const exp_parts e = exp_split(-t);
    return PLUS_TIMES(PLUS_TIMES(e.scale, e.scale, e.full), e.scale*(e.r*e.r), e.q);
}

/* 1 + odds(t), ready as soon as odds(t) itself would be. */
INLINE double odds_plus_1(double t)
{
    if (!(fabs(t) < 650))
        return 1 + exp_outside(t < -650 ? 650 : -t);
    const exp_parts e = exp_split(-t);
    return PLUS_TIMES(PLUS_TIMES(1 + e.scale, e.scale, e.full), e.scale*(e.r*e.r), e.q);
}

/* exp(-a) for a >= 0: as exp_of, where 2**k can only become subnormal. */
INLINE double decay_of(double a)
{
    const double shift = 0x1.8p52 + (1023 + 128); /* so that the low bits are those of an exponent: of 2**(k + 128) */
    a = a > 746 ? 746 : a;
    const union { double real; uint64_t bits; } k = {MINUS_TIMES(shift, a, 0x1.71547652b82fep+0)};
    const double n = k.real - shift;
    const double p = exp_precise(-a, n);
    const union { uint64_t bits; double real; } scale = {k.bits << 52};
    const double w = scale.real*0x1p-128;
    return PLUS_TIMES(w, w, p);
}

/* odds(t) for many t at once, and 0 where it is no normal number. Both bounds of t are one comparison: from
   two comparisons with constants, GCC makes four. */
INLINE double odds_of(double t)
{
    const double shift = 0x1.8p52 + 1023; /* so that the low bits are those of the exponent of w */
    const double off = t - 29.5, s = fabs(off) > 679.5 ? 29.5 + copysign(679.5, off) : t; /* from -650 to 709 */
    const union { double real; uint64_t bits; } k = {MINUS_TIMES(shift, s, 0x1.71547652b82fep+0)};
    const union { uint64_t bits; double real; } w = {k.bits << 52};
    const double n = k.real - shift, p = exp_reduced(-s, n);
    return PLUS_TIMES(w.real, w.real, p);
}

/* exp(x) - 1: as exp_of, with 2**k*(exp(r) - 1) + (2**k - 1), and with the sign of x, also of -0. */
INLINE double expm1_of(double x)
{
    const double shift = 0x1.8p52;
    x = x < -50 ? -50 : x;
    x = x > 710 ? 710 : x;
    const union { double real; uint64_t bits; } k = {TIMES_PLUS(x, 0x1.71547652b82fep+0, shift)};
    const double n = k.real - shift;
    const double high = MINUS_TIMES(x, n, 0x1.62e42fefp-1), tail = exp_tail(high, n*0x1.473de6af278edp-34);
    const uint64_t biased = (k.bits + 2048) & 4095, half = biased >> 1;
    const union { uint64_t bits; double real; } first = {(half - 1) << 52}, second = {(biased - half - 1) << 52},
        inverse = {(2047 - (biased - half)) << 52};
    const double value = PLUS_TIMES(TIMES_PLUS(high, first.real, first.real - inverse.real), tail, first.real);
    return copysign(value*second.real, x);
}

/* log(u + c) for a small correction c of u: u = 2**k*(1 + f), and
   log(1 + f) = f - f*f/2 + s*(f*f/2 + R) with s = f/(2 + f) and R = s*s*q(s*s). */
INLINE double log_sum(double u, double c)
{
    const double scaled = u < 0x1p-1022 ? u*0x1p54 : u;
    const union { double real; uint64_t bits; } parts = {scaled};
    const uint64_t offset = parts.bits - UINT64_C(0x3fe6a09e667f3bcd); /* of sqrt(1/2): f is in [-0.29, 0.41] */
    const union { uint64_t bits; double real; } mantissa = {parts.bits - (offset & UINT64_C(0xfff0000000000000))};
    const union { uint64_t bits; double real; } biased
        = {UINT64_C(0x4330000000000000) | (offset + (UINT64_C(1100) << 52)) >> 52};
    const double k = biased.real - (0x1p52 + 1100) - (u < 0x1p-1022 ? 54 : 0);
    const double f = mantissa.real - 1;
    const double s = f/(2 + f), z = s*s, z2 = z*z, half = f*f*0.5;
    const double q01 = PLUS_TIMES(0x1.5555555555558p-1, z, 0x1.9999999995204p-2);
    const double q23 = PLUS_TIMES(0x1.2492492e09d4dp-2, z, 0x1.c71c62c639fdep-3);
    const double q45 = PLUS_TIMES(0x1.7462bd8f7796ep-3, z, 0x1.39fd392179a95p-3);
    const double R = z*PLUS_TIMES(PLUS_TIMES(q01, z2, q23), z2*z2, PLUS_TIMES(q45, z2, 0x1.2b6688a387e03p-3));
    const double rest = TIMES_PLUS(s, half + R, TIMES_PLUS(k, 0x1.473de6af278edp-34, c/u));
    const double value = TIMES_MINUS(k, 0x1.62e42fefp-1, (half - rest) - f);
    return u > 0 ? (u < HUGE_VAL ? value : u) : u == 0 ? -HUGE_VAL : (double) NAN;
}

/* log(x). */
INLINE double log_of(double x)
{
    return log_sum(x, 0);
}

/* log(1 + x), with what 1 + x loses as the correction, and with the sign of x, also of -0. */
INLINE double log1p_of(double x)
{
    const double u = 1 + x;
    return copysign(log_sum(u, x < 1 ? x - (u - 1) : 1 - (u - x)), x);
}

/* exp(2*|z|)/2 + c = (w + c) + w*p with a power w of 2; infinity where exp(-2*|z|) is no normal
   number. */
INLINE double half_exp_and(double c, double z)
{
    const double shift = 0x1.8p52 + 1022; /* so that the low bits are those of the exponent of w */
    const double a = 2*fabs(z);
    const union { double real; uint64_t bits; } k
        = {PLUS_TIMES(shift, fabs(z), 0x1.71547652b82fep+1)}; /* not waiting for a */
    const union { uint64_t bits; double real; } w = {k.bits << 52};
    const double n = k.real - shift, p = exp_reduced(a, n);
    return a > 708.25 ? HUGE_VAL : PLUS_TIMES(w.real + c, w.real, p);
}

/* (exp(2*|z|) - 1)/2. */
INLINE double half_expm1_of(double z)
{
    return half_exp_and(-0.5, z);
}

/* 1 + (exp(2*|z|) - 1)/2, ready as soon as (exp(2*|z|) - 1)/2 itself would be. */
INLINE double half_expm1_plus_1(double z)
{
    return half_exp_and(0.5, z);
}

/* tanh(z) = e*r, given e = (exp(2*|z|) - 1)/2 and r = 1/(1 + e), corrected for the rounding of r.
   Where products are not fused, 1 - r loses less from e = 1 on. */
INLINE double tanh_of(double z, double e, double r)
{
    const double t = e*r, precise = PLUS_TIMES(t, r, MINUS_TIMES(e - t, t, e));
#if NN_SAME_BITS || defined(FP_FAST_FMA)
    const double value = precise;
#else
    const double value = e > 1 ? 1 - r : precise;
#endif
    return copysign(2*fabs(z) > 708.25 ? 1 : value, z);
}

/* erf(x)/x - 1, given z = x*x, where |x| <= 13/16. */
INLINE double erf_excess(double z)
{
    const double z2 = z*z, z4 = z2*z2;
    const double q01 = MINUS_TIMES(0x1.06eba8214db68p-3, z, 0x1.812746b0379b3p-2);
    const double q23 = MINUS_TIMES(0x1.ce2f21a040432p-4, z, 0x1.b82ce311b5757p-6);
    const double q45 = MINUS_TIMES(0x1.565bcce8c6f68p-8, z, 0x1.c02dabff5e3c3p-11);
    const double q67 = MINUS_TIMES(0x1.f9a213786f688p-14, z, 0x1.f4ba4f366e9b5p-17);
    const double q89 = MINUS_TIMES(0x1.b889cf3f25facp-20, z, 0x1.52fdb8e0392b8p-23);
    return PLUS_TIMES(PLUS_TIMES(q01, z2, q23), z4,
        PLUS_TIMES(PLUS_TIMES(q45, z2, q67), z4, PLUS_TIMES(q89, z2, 0x1.781f53f141fbcp-27)));
}

/* erfc(a) for a >= 13/16: exp(-a*a)*s*p(t) with s = 1/(a + 1/2) and t = 1/(a + 4), where p is nearly constant. a =
   head + rest, of which head*head and head + 1/2 are exact. S is s to 25 bits; s = S*(1 + lost). p(t) =
   p(c) + u*q(u) with u = t - c, for a c in the middle where p(c), and then S*p(c), is exact. */
INLINE double erfc_tail(double a)
{
    const double shift = 0x1.8p52;
    a = a > 28 ? 28 : a;
    const union { double real; uint64_t bits; } whole = {a};
    const union { uint64_t bits; double real; } head = {whole.bits & UINT64_C(0xfffffffff8000000)};
    const double rest = a - head.real, square = head.real*head.real;
    const union { double real; uint64_t bits; } k = {MINUS_TIMES(shift, a*a, 0x1.71547652b82fep+0)};
    const double n = k.real - shift, high = MINUS_TIMES(-square, n, 0x1.62e42fefp-1);
    const double tail = exp_tail(high, PLUS_TIMES(n*0x1.473de6af278edp-34, rest, a + head.real));
    const double e = 1 + (high + tail); /* exp(-a*a)/2**n */
    const double both = 1/((a + 0.5)*(a + 4));
    const union { double real; uint64_t bits; } s = {both*(a + 4)};
    const union { uint64_t bits; double real; } S = {s.bits & UINT64_C(0xfffffffff0000000)};
    const double part = MINUS_TIMES(MINUS_TIMES(1, S.real, head.real + 0.5), S.real, rest);
    const double lost = PLUS_TIMES(part, part, part);
    const double u = TIMES_MINUS(both, a + 0.5, 0x1.eafd945b88e6dp-4), u2 = u*u, u4 = u2*u2, u8 = u4*u4;
    const double q01 = PLUS_TIMES(0x1.1ab58cf074085p-1, u, 0x1.759e1c2c00341p-1);
    const double q23 = MINUS_TIMES(-0x1.b2337ba9c9d8ap+3, u, 0x1.55977c4fd2c3cp+7);
    const double q45 = MINUS_TIMES(-0x1.422c18276984bp+10, u, 0x1.cdf103e0472e7p+12);
    const double q67 = MINUS_TIMES(-0x1.075cef3ae0cb5p+15, u, 0x1.d7d2832d47006p+16);
    const double q89 = MINUS_TIMES(-0x1.34559acf976ddp+18, u, 0x1.b3f030a526f21p+18);
    const double qab = PLUS_TIMES(0x1.0d99904d2b6c3p+19, u, 0x1.1d5ac8b1da699p+22);
    const double qcd = MINUS_TIMES(0x1.f45ef7fbb6355p+22, u, 0x1.01fe84c8effe4p+24);
    const double qef = MINUS_TIMES(-0x1.7eaf45c235046p+26, u, 0x1.0bc36bb5e4253p+25);
    const double qgh = PLUS_TIMES(0x1.7ebddbd92dbddp+29, u, 0x1.34fe832095776p+30);
    const double qij = MINUS_TIMES(-0x1.14fae1cb84b1dp+32, u, 0x1.68be8ca5fc059p+33);
    const double q07 = PLUS_TIMES(PLUS_TIMES(q01, u2, q23), u4, PLUS_TIMES(q45, u2, q67));
    const double q8f = PLUS_TIMES(PLUS_TIMES(q89, u2, qab), u4, PLUS_TIMES(qcd, u2, qef));
    const double uq = u*PLUS_TIMES(q07, u8, PLUS_TIMES(q8f, u8, PLUS_TIMES(qgh, u2, qij))), p = 0x1.3a3015cp-1;
    const double value = PLUS_TIMES(S.real*p, S.real,
        TIMES_PLUS(p, high, PLUS_TIMES(p*tail, e, PLUS_TIMES(uq, lost, p + uq))));
    const union { uint64_t bits; double real; } scale = {(k.bits + 1023 + 128) << 52}; /* 2**(n + 128) */
    return value*scale.real*0x1p-128;
}

/* erf(x): 1 - erfc(|x|), but near 0 as a multiple of x. */
INLINE double erf_of(double x)
{
    const double near = PLUS_TIMES(x, x, erf_excess(x*x)), far = copysign(1 - erfc_tail(fabs(x)), x);
    return fabs(x) < 0.8125 ? near : far;
}

/* 1 - erf(x), also precise where it is close to 0. */
INLINE double erfc_of(double x)
{
    const double near = MINUS_TIMES(1 - x, x, erf_excess(x*x)), tail = erfc_tail(fabs(x)),
        far = x < 0 ? 2 - tail : tail;
    return fabs(x) < 0.8125 ? near : far;
}

/* exp(high - low), where high has at most 52 bits up to the place of 2**-42, and low is as large or smaller. */
INLINE double exp_apart(double high, double low)
{
    const double shift = 0x1.8p52;
    const union { double real; uint64_t bits; } k = {TIMES_PLUS(high - low, 0x1.71547652b82fep+0, shift)};
    const double n = k.real - shift, head = MINUS_TIMES(high, n, 0x1.62e42fefp-1);
    const double p = 1 + (head + exp_tail(head, PLUS_TIMES(low, n, 0x1.473de6af278edp-34)));
    const uint64_t biased = (k.bits + 2048) & 4095, half = biased >> 1; /* as in exp_of */
    const union { uint64_t bits; double real; } first = {(half - 1) << 52}, second = {(biased - half - 1) << 52};
    return p*first.real*second.real;
}

/* The sine of r, |r| <= pi/4. */
INLINE double sine_near(double r)
{
    const double z = r*r, z2 = z*z;
    const double q01 = PLUS_TIMES(-0x1.5555555555534p-3, z, 0x1.111111110d976p-7);
    const double q23 = PLUS_TIMES(-0x1.a01a01985f3d5p-13, z, 0x1.71de326b6989bp-19);
    const double q45 = PLUS_TIMES(-0x1.ae5c222de3becp-26, z, 0x1.5cf3752a696b6p-33);
    return PLUS_TIMES(r, r*z, PLUS_TIMES(q01, z2, PLUS_TIMES(q23, z2, q45)));
}

/* The cosine of r, |r| <= pi/4. */
INLINE double cosine_near(double r)
{
    const double z = r*r, z2 = z*z;
    const double q01 = MINUS_TIMES(0x1.555555555555p-5, z, 0x1.6c16c16c14f8p-10);
    const double q23 = MINUS_TIMES(0x1.a01a019bd54bfp-16, z, 0x1.27e4f71edad1p-22);
    const double q45 = MINUS_TIMES(0x1.1ee92c61919f2p-29, z, 0x1.8f419889c1074p-37);
    return PLUS_TIMES(MINUS_TIMES(1, 0.5, z), z2, PLUS_TIMES(q01, z2, PLUS_TIMES(q23, z2, q45)));
}

/* Both parts of a complex number. */
typedef struct {
    double real, imag;
} complex_parts;

/* weight/|z*z - t*t|**2 for z = a + i*y, given y*y: what the poles t and -t add to the sums of faddeeva. */
INLINE double faddeeva_pole(double a, double square, double t, double weight)
{
    const double before = a - t, after = a + t;
    return weight/(TIMES_PLUS(before, before, square)*TIMES_PLUS(after, after, square));
}

/* 2*exp(-z*z)/(1 + exp(4*pi*i*(d - z))) for z = a + i*y, where d is the quarter nearest to a: with the angles
   phi = 2*a*y and theta = 4*pi*(a - d), and r = exp(-4*pi*y), it is
   2*exp(y*y - a*a)*r*(r*exp(-i*phi) + exp(i*(theta - phi)))/(1 + 2*r*cos(theta) + r*r). a = head + rest, of which
   head*head is exact. From y = 2*pi on it is 0, as the sums are precise without it. */
INLINE complex_parts faddeeva_correction(double a, double y, double turns)
{
    const double shift = 0x1.8p52;
    const union { double real; uint64_t bits; } whole = {a};
    const union { uint64_t bits; double real; } head = {whole.bits & UINT64_C(0xfffffffff8000000)};
    const double rest = a - head.real, square = head.real*head.real, above = y > 6.5 ? 6.5 : y;
    const double size = exp_apart(-square, MINUS_TIMES(rest*(a + head.real), above, above));
    const double r = exp_of((above < -3 ? -3 : above)*-0x1.921fb54442d18p+3); /* below, 1 + r is r */
    const double phi = 2*a*above;
    const union { double real; uint64_t bits; } k = {TIMES_PLUS(phi, 0x1.45f306dc9c883p-1, shift)};
    const double n = k.real - shift, part = MINUS_TIMES(MINUS_TIMES(phi, n, 0x1.921fb544p+0), n, 0x1.0b4611a626331p-34);
    const double s = sine_near(part), c = cosine_near(part);
    const union { double real; uint64_t bits; } across = {k.bits & 1 ? c : s}, along = {k.bits & 1 ? s : c};
    const union { uint64_t bits; double real; } sine = {across.bits ^ (k.bits & 2) << 62},
        cosine = {along.bits ^ ((k.bits + 1) & 2) << 62};
    const double half = turns*0x1.921fb54442d18p+1, half_sine = sine_near(half);
    const double other_sine = 2*half_sine*cosine_near(half), other_cosine = MINUS_TIMES(1, 2*half_sine, half_sine);
    const double factor = y < 6.28 ? 2*size*(r/PLUS_TIMES(PLUS_TIMES(1, r, r), 2*r, other_cosine)) : 0;
    complex_parts result;
    result.real = factor*PLUS_TIMES(PLUS_TIMES(other_cosine*cosine.real, other_sine, sine.real), r, cosine.real);
    result.imag = factor*MINUS_TIMES(MINUS_TIMES(other_sine*cosine.real, other_cosine, sine.real), r, sine.real);
    return result;
}

/* The Faddeeva function w(z) = exp(-z*z)*erfc(-i*z) at z = x + i*y: the trapezoidal rule for the integral of
   i/pi*exp(-t*t)/(z - t), whose nodes are 1/2 apart, with the correction for its pole at t = z (C. Chiarella, A.
   Reichel, Math. Comp. 22, 137, 1968; F. Matta, A. Reichel, Math. Comp. 25, 339, 1971; M. Al Azah, S. N.
   Chandler-Wilde, SIAM J. Numer. Anal. 59, 2346, 2021). The nodes are k/2 or k/2 + 1/4, whichever are farther from x,
   at least 1/8; t and -t are added together, so that all terms of the real part have one sign. The rule is precise to
   exp(-4*pi*pi), and so is its analytic continuation to y < 0; below y = -26 it is NaN. Beyond 2**200, w(z) is
   i/(sqrt(pi)*z). */
INLINE complex_parts faddeeva(double x, double y)
{
    const double shift = 0x1.8p52, a = fabs(x), square = y*y, total = TIMES_PLUS(a, a, square), near = a > 28 ? 28 : a;
    const union { double real; uint64_t bits; } k = {TIMES_PLUS(4, near, shift)};
    const double turns = MINUS_TIMES(2*near, 0.5, k.real - shift), from = k.bits & 1 ? 0 : 0.25;
    const double t0 = from, t1 = from + 0.5, t2 = from + 1, t3 = from + 1.5, t4 = from + 2, t5 = from + 2.5,
        t6 = from + 3, t7 = from + 3.5, t8 = from + 4, t9 = from + 4.5, ta = from + 5, tb = from + 5.5, tc = from + 6;
    const double p0 = faddeeva_pole(a, square, t0, k.bits & 1 ? 0x1.45f306dc9c883p-3 : 0x1.323378294c2bfp-2);
    const double p1 = faddeeva_pole(a, square, t1, k.bits & 1 ? 0x1.fbb2fd3e63b83p-3 : 0x1.7370ce99b1cfcp-3);
    const double p2 = faddeeva_pole(a, square, t2, k.bits & 1 ? 0x1.dfa3e572aa123p-4 : 0x1.114a6f33e6973p-4);
    const double p3 = faddeeva_pole(a, square, t3, k.bits & 1 ? 0x1.12d6a47eec4e7p-5 : 0x1.e7d5d560f7361p-7);
    const double p4 = faddeeva_pole(a, square, t4, k.bits & 1 ? 0x1.7e13fd7d199b4p-8 : 0x1.0815d6ae9a174p-9);
    const double p5 = faddeeva_pole(a, square, t5, k.bits & 1 ? 0x1.422a769e2e126p-11 : 0x1.5ad6cd7d941eap-13);
    const double p6 = faddeeva_pole(a, square, t6, k.bits & 1 ? 0x1.4986a82011d6dp-15 : 0x1.144a23e61215p-17);
    const double p7 = faddeeva_pole(a, square, t7, k.bits & 1 ? 0x1.98de15352423p-20 : 0x1.0afbaf6c74746p-22);
    const double p8 = faddeeva_pole(a, square, t8, k.bits & 1 ? 0x1.33b3574d5dd08p-25 : 0x1.38f537a79c317p-28);
    const double p9 = faddeeva_pole(a, square, t9, k.bits & 1 ? 0x1.18e738aad23efp-31 : 0x1.bd02cd510a96fp-35);
    const double pa = faddeeva_pole(a, square, ta, k.bits & 1 ? 0x1.3713b5406adeap-38 : 0x1.7fcd8aeb5d909p-42);
    const double pb = faddeeva_pole(a, square, tb, k.bits & 1 ? 0x1.a1e3ccc0d34dfp-46 : 0x1.918a2e7cd92d1p-50);
    const double pc = faddeeva_pole(a, square, tc, k.bits & 1 ? 0x1.547e45cb47c08p-54 : 0x1.fd9a442c5e80dp-59);
    const double squares = ((PLUS_TIMES(p0*(t0*t0), p1, t1*t1) + PLUS_TIMES(p2*(t2*t2), p3, t3*t3))
        + (PLUS_TIMES(p4*(t4*t4), p5, t5*t5) + PLUS_TIMES(p6*(t6*t6), p7, t7*t7)))
        + PLUS_TIMES(PLUS_TIMES(p8*(t8*t8), p9, t9*t9) + PLUS_TIMES(pa*(ta*ta), pb, tb*tb), pc, tc*tc);
    const double poles = (((p0 + p1) + (p2 + p3)) + ((p4 + p5) + (p6 + p7))) + (((p8 + p9) + (pa + pb)) + pc);
    const complex_parts correction = faddeeva_correction(near, y, turns);
    const double large = a > fabs(y) ? a : fabs(y), scale = large > 0x1p200 ? 0x1p-512 : 1;
    const double u = a*scale, v = y*scale, inverse = 0x1.20dd750429b6dp-1*scale/PLUS_TIMES(u*u, v, v);
    const int outside = large > 0x1.fffffffffffffp+1023;
    complex_parts result;
    result.real = large > 0x1p200 ? v*inverse : TIMES_PLUS(y, TIMES_PLUS(total, poles, squares), correction.real);
    result.imag = large > 0x1p200 ? u*inverse : TIMES_PLUS(a, TIMES_MINUS(total, poles, squares), correction.imag);
    result.real = y < -26 ? (double) NAN : outside ? 0 : result.real;
    result.imag = copysign(1, x)*(y < -26 ? (double) NAN : outside ? 0 : result.imag);
    return result;
}

/* The real part of the Faddeeva function at x + i*y, the Voigt function. */
INLINE double faddeeva_real_of(double x, double y)
{
    return faddeeva(x, y).real;
}

/* The imaginary part of the Faddeeva function at x + i*y. */
INLINE double faddeeva_imag_of(double x, double y)
{
    return faddeeva(x, y).imag;
}

#endif
