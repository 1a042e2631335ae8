/* Functions in single precision without branches, so that compilers make vectors of loops that call them. Their errors
   are below 2 units in the last place.

   Where the bits of results must not depend on the CPU and the compiler, the text says which products are added without
   being rounded (PLUS_TIMES and its like in same_bits.h); elsewhere, the compiler chooses.

   Needs base.h with NN_BITS 32. Gives exp_of, expm1_of, decay_of, log_of, log1p_of, tanh_of and its parts, erf_of,
   erfc_of, odds_of, faddeeva_real_of, faddeeva_imag_of; and exp_scalar, odds and their like for one argument
   at a time. */

#ifndef NNCODEGEN_FUNCTIONS32_H
#define NNCODEGEN_FUNCTIONS32_H

#include "nncodegen/base/base.h"

/* (exp(r) - 1 - r)/(r*r) for |r| <= log(2)/2. */
INLINE float exp_rest(float r)
{
    const float r2 = r*r;
    const float q01 = PLUS_TIMES(0x1p-1F, r, 0x1.5554dcp-3F);
    const float q23 = PLUS_TIMES(0x1.555518p-5F, r, 0x1.120be2p-7F);
    return PLUS_TIMES(q01, r2, PLUS_TIMES(q23, r2, 0x1.6d117cp-10F));
}

/* exp(r) - 1 - high for r = high - low. */
INLINE float exp_tail(float high, float low)
{
    const float r = high - low;
    return TIMES_MINUS(r*r, exp_rest(r), low);
}

/* exp(x - n*log(2)) - 1, with log(2) as a head, for which n*head is exact, and a rest. Where
   products are fused, r is rounded only once, and is not corrected for that. */
INLINE float exp_reduced(float x, float n)
{
    const float high = MINUS_TIMES(x, n, 0x1.62ep-1F);
#if NN_SAME_BITS || defined(FP_FAST_FMAF)
    const float r = MINUS_TIMES(high, n, 0x1.0bfbe8p-15F);
    return PLUS_TIMES(r, r*r, exp_rest(r));
#else
    return high + exp_tail(high, n*0x1.0bfbe8p-15F);
#endif
}

/* exp(x), for all x: x = k*log(2) + r with |r| <= log(2)/2. The two ends are compared in different
   variables: from two comparisons of one variable with constants, GCC makes four. */
INLINE float exp_of(float x)
{
    const float shift = 0x1.8p23F; /* adding it rounds to an integer, which the low bits then hold */
    const union { float real; uint32_t bits; } k = {TIMES_PLUS(x, 0x1.715476p+0F, shift)};
    const float n = k.real - shift;
    const float p = 1 + exp_reduced(x, n);
    const uint32_t biased = (k.bits + 256) & 511, half = biased >> 1; /* 2**k in two factors: it may be subnormal */
    const union { uint32_t bits; float real; } first = {(half - 1) << 23}, second = {(biased - half - 1) << 23};
    const float value = p*first.real*second.real;
    return n < -150 ? 0 : x > 89 ? HUGE_VALF : value;
}

/* exp(x) for one x at a time, in parts: x = (k + j/32)*log(2) + r, where scale = 2**(k + j/32) is
   from a table, whose bits are those of 2**(j/32) less j << 18. The part of log(2) beyond this precision is added to r
   in full. Then exp(x) = scale + scale*full + scale*r*r*q. */
static const uint32_t exp_table[32] = {
    0x3f800000, 0x3f7ecd87, 0x3f7daac3, 0x3f7c980f, 0x3f7b95c2, 0x3f7aa43a, 0x3f79c3d3, 0x3f78f4f0,
    0x3f7837f0, 0x3f778d3a, 0x3f76f532, 0x3f767043, 0x3f75fed7, 0x3f75a15b, 0x3f75583f, 0x3f7523f6,
    0x3f7504f3, 0x3f74fbaf, 0x3f7508a4, 0x3f752c4d, 0x3f75672a, 0x3f75b9be, 0x3f76248c, 0x3f76a81e,
    0x3f7744fd, 0x3f77fbb8, 0x3f78ccdf, 0x3f79b907, 0x3f7ac0c7, 0x3f7be4ba, 0x3f7d257d, 0x3f7e83b3
};

typedef struct {
    float scale, r, full, q;
} exp_parts;

INLINE exp_parts exp_split(float x)
{
    const float shift = 0x1.8p23F;
    const union { float real; uint32_t bits; } k = {TIMES_PLUS(x, 0x1.715476p+5F, shift)};
    const union { uint32_t bits; float real; } scale = {exp_table[k.bits & 31] + (k.bits << 18)};
    const float n = k.real - shift;
    exp_parts parts;
    parts.scale = scale.real;
#if NN_SAME_BITS || defined(FP_FAST_FMAF)
    parts.r = fmaf(n, -0x1.62e43p-6F, x);
    parts.full = PLUS_TIMES(parts.r, n, 0x1.05c61p-34F);
#else
    parts.r = (x - n*0x1.62ep-6F) - n*0x1.0bfbe8p-20F;
    parts.full = parts.r;
#endif
    parts.q = PLUS_TIMES(0x1p-1F, parts.r, 0x1.555556p-3F);
    return parts;
}

/* exp_of for the few x that exp_split does not take. It is called, not inlined: with a copy in each of its callers,
   a formula that is trained in registers took compilers a quarter longer. */
RARE float exp_outside(float x)
{
    return exp_of(x);
}

/* exp(x), whose parts are added in the order in which they are ready. */
INLINE float exp_scalar(float x)
{
    if (!(fabsf(x) < 80))
        return exp_outside(x);
    const exp_parts e = exp_split(x);
    return PLUS_TIMES(PLUS_TIMES(e.scale, e.scale, e.full), e.scale*(e.r*e.r), e.q);
}

/* 1 + exp(x), ready as soon as exp(x) itself would be. */
INLINE float exp_plus_1(float x)
{
    if (!(fabsf(x) < 80))
        return 1 + exp_outside(x);
    const exp_parts e = exp_split(x);
    return PLUS_TIMES(PLUS_TIMES(1 + e.scale, e.scale, e.full), e.scale*(e.r*e.r), e.q);
}

/* exp(-t); for t below -60, exp(60), so that no product with it overflows: a quotient by 1 + odds(t)
   is next to 0 in either case. */
INLINE float odds(float t)
{
    if (!(fabsf(t) < 60))
        return exp_outside(t < -60 ? 60 : -t);
    const exp_parts e = exp_split(-t);
    return PLUS_TIMES(PLUS_TIMES(e.scale, e.scale, e.full), e.scale*(e.r*e.r), e.q);
}

/* 1 + odds(t), ready as soon as odds(t) itself would be. */
INLINE float odds_plus_1(float t)
{
    if (!(fabsf(t) < 60))
        return 1 + exp_outside(t < -60 ? 60 : -t);
    const exp_parts e = exp_split(-t);
    return PLUS_TIMES(PLUS_TIMES(1 + e.scale, e.scale, e.full), e.scale*(e.r*e.r), e.q);
}

/* exp(-a) for a >= 0: as exp_of, where 2**k can only become subnormal. */
INLINE float decay_of(float a)
{
    const float shift = 0x1.8p23F + (127 + 64); /* so that the low bits are those of an exponent: of 2**(k + 64) */
    a = a > 104 ? 104 : a;
    const union { float real; uint32_t bits; } k = {MINUS_TIMES(shift, a, 0x1.715476p+0F)};
    const float n = k.real - shift;
    const float p = exp_reduced(-a, n);
    const union { uint32_t bits; float real; } scale = {k.bits << 23};
    const float w = scale.real*0x1p-64F;
    return PLUS_TIMES(w, w, p);
}

/* odds(t) for many t at once, and 0 where it is no normal number. Both bounds of t are one comparison: from
   two comparisons with constants, GCC makes four. */
INLINE float odds_of(float t)
{
    const float shift = 0x1.8p23F + 127; /* so that the low bits are those of the exponent of w */
    const float off = t - 14, s = fabsf(off) > 74 ? 14 + copysignf(74, off) : t; /* from -60 to 88 */
    const union { float real; uint32_t bits; } k = {MINUS_TIMES(shift, s, 0x1.715476p+0F)};
    const union { uint32_t bits; float real; } w = {k.bits << 23};
    const float n = k.real - shift, p = exp_reduced(-s, n);
    return PLUS_TIMES(w.real, w.real, p);
}

/* exp(x) - 1: as exp_of, with 2**k*(exp(r) - 1) + (2**k - 1), and with the sign of x, also of -0. */
INLINE float expm1_of(float x)
{
    const float shift = 0x1.8p23F;
    x = x < -25 ? -25 : x;
    x = x > 89 ? 89 : x;
    const union { float real; uint32_t bits; } k = {TIMES_PLUS(x, 0x1.715476p+0F, shift)};
    const float n = k.real - shift;
    const float high = MINUS_TIMES(x, n, 0x1.62ep-1F), tail = exp_tail(high, n*0x1.0bfbe8p-15F);
    const uint32_t biased = (k.bits + 256) & 511, half = biased >> 1;
    const union { uint32_t bits; float real; } first = {(half - 1) << 23}, second = {(biased - half - 1) << 23},
        inverse = {(255 - (biased - half)) << 23};
    const float value = PLUS_TIMES(TIMES_PLUS(high, first.real, first.real - inverse.real), tail, first.real);
    return copysignf(value*second.real, x);
}

/* log(u + c) for a small correction c of u: u = 2**k*(1 + f), and
   log(1 + f) = f - f*f/2 + s*(f*f/2 + R) with s = f/(2 + f) and R = s*s*q(s*s). */
INLINE float log_sum(float u, float c)
{
    const float scaled = u < 0x1p-126F ? u*0x1p25F : u;
    const union { float real; uint32_t bits; } parts = {scaled};
    const uint32_t offset = parts.bits - UINT32_C(0x3f3504f3); /* of sqrt(1/2): f is in [-0.29, 0.41] */
    const union { uint32_t bits; float real; } mantissa = {parts.bits - (offset & UINT32_C(0xff800000))};
    const union { uint32_t bits; float real; } biased = {UINT32_C(0x4b000000) | (offset + (UINT32_C(160) << 23)) >> 23};
    const float k = biased.real - (0x1p23F + 160) - (u < 0x1p-126F ? 25 : 0);
    const float f = mantissa.real - 1;
    const float s = f/(2 + f), z = s*s, half = f*f*0.5F;
    const float q01 = PLUS_TIMES(0x1.555556p-1F, z, 0x1.9999ecp-2F);
    const float q23 = PLUS_TIMES(0x1.245c0ap-2F, z, 0x1.dddaep-3F);
    const float R = z*PLUS_TIMES(q01, z*z, q23);
    const float rest = TIMES_PLUS(s, half + R, TIMES_PLUS(k, 0x1.0bfbe8p-15F, c/u));
    const float value = TIMES_MINUS(k, 0x1.62ep-1F, (half - rest) - f);
    return u > 0 ? (u < HUGE_VALF ? value : u) : u == 0 ? -HUGE_VALF : NAN;
}

/* log(x). */
INLINE float log_of(float x)
{
    return log_sum(x, 0);
}

/* log(1 + x), with what 1 + x loses as the correction, and with the sign of x, also of -0. */
INLINE float log1p_of(float x)
{
    const float u = 1 + x;
    return copysignf(log_sum(u, x < 1 ? x - (u - 1) : 1 - (u - x)), x);
}

/* exp(2*|z|)/2 + c = (w/2 + c) + w*p with a power w of 2; infinity where exp(-2*|z|) is no normal
   number. p is half of exp(2*r) - 1. */
INLINE float half_exp_and(float c, float z)
{
    const float shift = 0x1.8p23F + 127; /* so that the low bits are those of the exponent of w */
    const union { float real; uint32_t bits; } k = {PLUS_TIMES(shift, fabsf(z), 0x1.715476p+1F)};
    const union { uint32_t bits; float real; } w = {k.bits << 23};
    const float n = k.real - shift;
#if NN_SAME_BITS || defined(FP_FAST_FMAF)
    /* enough: the error of r grows with n, but tanh is close to 1 there */
    const float r = MINUS_TIMES(fabsf(z), n, 0x1.62e43p-2F), r2 = r*r;
    /* as exp_rest of 2*r, with the powers of 2 in the coefficients */
    const float q01 = PLUS_TIMES(1, r, 0x1.5554dcp-1F);
    const float q23 = PLUS_TIMES(0x1.555518p-2F, r, 0x1.120be2p-3F);
    const float p = PLUS_TIMES(r, r2, PLUS_TIMES(q01, r2, PLUS_TIMES(q23, r2, 0x1.6d117cp-5F)));
#else
    const float p = exp_reduced(2*fabsf(z), n)*0.5F;
#endif
    return fabsf(z) > 44 ? HUGE_VALF : PLUS_TIMES(TIMES_PLUS(w.real, 0.5F, c), w.real, p);
}

/* (exp(2*|z|) - 1)/2. */
INLINE float half_expm1_of(float z)
{
    return half_exp_and(-0.5F, z);
}

/* 1 + (exp(2*|z|) - 1)/2, ready as soon as (exp(2*|z|) - 1)/2 itself would be. */
INLINE float half_expm1_plus_1(float z)
{
    return half_exp_and(0.5F, z);
}

/* tanh(z) = e*r, given e = (exp(2*|z|) - 1)/2 and r = 1/(1 + e), corrected for the rounding of r.
   Where products are not fused, 1 - r loses less from e = 1 on. */
INLINE float tanh_of(float z, float e, float r)
{
    const float t = e*r, precise = PLUS_TIMES(t, r, MINUS_TIMES(e - t, t, e));
#if NN_SAME_BITS || defined(FP_FAST_FMAF)
    const float value = precise;
#else
    const float value = e > 1 ? 1 - r : precise;
#endif
    return copysignf(fabsf(z) > 44 ? 1 : value, z);
}

/* erf(x)/x - 1, given z = x*x, where |x| <= 13/16. */
INLINE float erf_excess(float z)
{
    const float z2 = z*z;
    const float q01 = MINUS_TIMES(0x1.06eba8p-3F, z, 0x1.81273p-2F);
    const float q23 = MINUS_TIMES(0x1.ce2808p-4F, z, 0x1.b76a72p-6F);
    const float q45 = MINUS_TIMES(0x1.4d0d3ep-8F, z, 0x1.55392ep-11F);
    return PLUS_TIMES(PLUS_TIMES(q01, z2, q23), z2*z2, q45);
}

/* erfc(a) for a >= 13/16: exp(-a*a)*s*p(t) with s = 1/(a + 1/2) and t = 1/(a + 2), where p is nearly constant. a =
   head + rest, of which head*head and head + 1/2 are exact. S is s to 11 bits; s = S*(1 + lost). p(t) =
   p(c) + u*q(u) with u = t - c, for a c in the middle where p(c), and then S*p(c), is exact. */
INLINE float erfc_tail(float a)
{
    const float shift = 0x1.8p23F;
    a = a > 11 ? 11 : a;
    const union { float real; uint32_t bits; } whole = {a};
    const union { uint32_t bits; float real; } head = {whole.bits & UINT32_C(0xfffff000)};
    const float rest = a - head.real, square = head.real*head.real;
    const union { float real; uint32_t bits; } k = {MINUS_TIMES(shift, a*a, 0x1.715476p+0F)};
    const float n = k.real - shift, high = MINUS_TIMES(-square, n, 0x1.62ep-1F);
    const float tail = exp_tail(high, PLUS_TIMES(n*0x1.0bfbe8p-15F, rest, a + head.real));
    const float e = 1 + (high + tail); /* exp(-a*a)/2**n */
    const float both = 1/((a + 0.5F)*(a + 2));
    const union { float real; uint32_t bits; } s = {both*(a + 2)};
    const union { uint32_t bits; float real; } S = {s.bits & UINT32_C(0xffffe000)};
    const float part = MINUS_TIMES(MINUS_TIMES(1, S.real, head.real + 0.5F), S.real, rest);
    const float lost = PLUS_TIMES(part, part, part);
    const float u = TIMES_MINUS(both, a + 0.5F, 0x1.be63fep-3F), u2 = u*u;
    const float q01 = MINUS_TIMES(0x1.058714p-2F, u, 0x1.bc2aeap-1F);
    const float q23 = MINUS_TIMES(-0x1.1520bcp+2F, u, 0x1.d42914p+2F);
    const float q45 = PLUS_TIMES(0x1.18ffaap-1F, u, 0x1.28ff84p+4F);
    const float q67 = MINUS_TIMES(0x1.d0cc24p+1F, u, 0x1.8dd26cp+5F);
    const float uq = u*PLUS_TIMES(PLUS_TIMES(q01, u2, q23), u2*u2, PLUS_TIMES(q45, u2, q67)), p = 0x1.434p-1F;
    const float value = PLUS_TIMES(S.real*p, S.real,
        TIMES_PLUS(p, high, PLUS_TIMES(p*tail, e, PLUS_TIMES(uq, lost, p + uq))));
    const union { uint32_t bits; float real; } scale = {(k.bits + 127 + 64) << 23}; /* 2**(n + 64) */
    return value*scale.real*0x1p-64F;
}

/* erf(x): 1 - erfc(|x|), but near 0 as a multiple of x. */
INLINE float erf_of(float x)
{
    const float near = PLUS_TIMES(x, x, erf_excess(x*x)), far = copysignf(1 - erfc_tail(fabsf(x)), x);
    return fabsf(x) < 0.8125F ? near : far;
}

/* 1 - erf(x), also precise where it is close to 0. */
INLINE float erfc_of(float x)
{
    const float near = MINUS_TIMES(1 - x, x, erf_excess(x*x)), tail = erfc_tail(fabsf(x)),
        far = x < 0 ? 2 - tail : tail;
    return fabsf(x) < 0.8125F ? near : far;
}

/* exp(high - low), where high has at most 24 bits, and low is as large or smaller. */
INLINE float exp_apart(float high, float low)
{
    const float shift = 0x1.8p23F;
    const union { float real; uint32_t bits; } k = {TIMES_PLUS(high - low, 0x1.715476p+0F, shift)};
    const float n = k.real - shift, head = MINUS_TIMES(high, n, 0x1.62ep-1F);
    const float p = 1 + (head + exp_tail(head, PLUS_TIMES(low, n, 0x1.0bfbe8p-15F)));
    const uint32_t biased = (k.bits + 256) & 511, half = biased >> 1; /* as in exp_of */
    const union { uint32_t bits; float real; } first = {(half - 1) << 23}, second = {(biased - half - 1) << 23};
    return p*first.real*second.real;
}

/* The sine of r, |r| <= pi/4. */
INLINE float sine_near(float r)
{
    const float z = r*r;
    const float q12 = MINUS_TIMES(0x1.11073cp-7F, z, 0x1.9943f2p-13F);
    return PLUS_TIMES(r, r*z, PLUS_TIMES(-0x1.555546p-3F, z, q12));
}

/* The cosine of r, |r| <= pi/4. */
INLINE float cosine_near(float r)
{
    const float z = r*r;
    const float q12 = PLUS_TIMES(-0x1.6c0c34p-10F, z, 0x1.99eb9cp-16F);
    return PLUS_TIMES(MINUS_TIMES(1, 0.5F, z), z*z, PLUS_TIMES(0x1.55554ap-5F, z, q12));
}

/* Both parts of a complex number. */
typedef struct {
    float real, imag;
} complex_parts;

/* weight/|z*z - t*t|**2 for z = a + i*y, given y*y: what the poles t and -t add to the sums of faddeeva. */
INLINE float faddeeva_pole(float a, float square, float t, float weight)
{
    const float before = a - t, after = a + t;
    return weight/(TIMES_PLUS(before, before, square)*TIMES_PLUS(after, after, square));
}

/* 2*exp(-z*z)/(1 + exp(4*pi*i*(d - z))) for z = a + i*y, where d is the quarter nearest to a: with the angles
   phi = 2*a*y and theta = 4*pi*(a - d), and r = exp(-4*pi*y), it is
   2*exp(y*y - a*a)*r*(r*exp(-i*phi) + exp(i*(theta - phi)))/(1 + 2*r*cos(theta) + r*r). a = head + rest, of which
   head*head is exact. From y = 2*pi on it is 0, as the sums are precise without it. */
INLINE complex_parts faddeeva_correction(float a, float y, float turns)
{
    const float shift = 0x1.8p23F;
    const union { float real; uint32_t bits; } whole = {a};
    const union { uint32_t bits; float real; } head = {whole.bits & UINT32_C(0xfffff000)};
    const float rest = a - head.real, square = head.real*head.real, above = y > 6.5F ? 6.5F : y;
    const float size = exp_apart(-square, MINUS_TIMES(rest*(a + head.real), above, above));
    const float r = exp_of((above < -3 ? -3 : above)*-0x1.921fb6p+3F); /* below, 1 + r is r */
    const float phi = 2*a*above;
    const union { float real; uint32_t bits; } k = {TIMES_PLUS(phi, 0x1.45f306p-1F, shift)};
    const float n = k.real - shift, part = MINUS_TIMES(MINUS_TIMES(phi, n, 0x1.92p+0F), n, 0x1.fb5444p-12F);
    const float s = sine_near(part), c = cosine_near(part);
    const union { float real; uint32_t bits; } across = {k.bits & 1 ? c : s}, along = {k.bits & 1 ? s : c};
    const union { uint32_t bits; float real; } sine = {across.bits ^ (k.bits & 2) << 30},
        cosine = {along.bits ^ ((k.bits + 1) & 2) << 30};
    const float half = turns*0x1.921fb6p+1F, half_sine = sine_near(half);
    const float other_sine = 2*half_sine*cosine_near(half), other_cosine = MINUS_TIMES(1, 2*half_sine, half_sine);
    const float factor = y < 6.28F ? 2*size*(r/PLUS_TIMES(PLUS_TIMES(1, r, r), 2*r, other_cosine)) : 0;
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
   exp(-4*pi*pi), and so is its analytic continuation to y < 0; below y = -9 it is NaN. Beyond 2**30, w(z) is
   i/(sqrt(pi)*z). */
INLINE complex_parts faddeeva(float x, float y)
{
    const float shift = 0x1.8p23F, a = fabsf(x), square = y*y, total = TIMES_PLUS(a, a, square), near = a > 11 ? 11 : a;
    const union { float real; uint32_t bits; } k = {TIMES_PLUS(4, near, shift)};
    const float turns = MINUS_TIMES(2*near, 0.5F, k.real - shift), from = k.bits & 1 ? 0 : 0.25F;
    const float t0 = from, t1 = from + 0.5F, t2 = from + 1, t3 = from + 1.5F, t4 = from + 2, t5 = from + 2.5F,
        t6 = from + 3, t7 = from + 3.5F, t8 = from + 4, t9 = from + 4.5F;
    const float p0 = faddeeva_pole(a, square, t0, k.bits & 1 ? 0x1.45f306p-3F : 0x1.323378p-2F);
    const float p1 = faddeeva_pole(a, square, t1, k.bits & 1 ? 0x1.fbb2fep-3F : 0x1.7370cep-3F);
    const float p2 = faddeeva_pole(a, square, t2, k.bits & 1 ? 0x1.dfa3e6p-4F : 0x1.114a7p-4F);
    const float p3 = faddeeva_pole(a, square, t3, k.bits & 1 ? 0x1.12d6a4p-5F : 0x1.e7d5d6p-7F);
    const float p4 = faddeeva_pole(a, square, t4, k.bits & 1 ? 0x1.7e13fep-8F : 0x1.0815d6p-9F);
    const float p5 = faddeeva_pole(a, square, t5, k.bits & 1 ? 0x1.422a76p-11F : 0x1.5ad6cep-13F);
    const float p6 = faddeeva_pole(a, square, t6, k.bits & 1 ? 0x1.4986a8p-15F : 0x1.144a24p-17F);
    const float p7 = faddeeva_pole(a, square, t7, k.bits & 1 ? 0x1.98de16p-20F : 0x1.0afbbp-22F);
    const float p8 = faddeeva_pole(a, square, t8, k.bits & 1 ? 0x1.33b358p-25F : 0x1.38f538p-28F);
    const float p9 = faddeeva_pole(a, square, t9, k.bits & 1 ? 0x1.18e738p-31F : 0x1.bd02cep-35F);
    const float squares = ((PLUS_TIMES(p0*(t0*t0), p1, t1*t1) + PLUS_TIMES(p2*(t2*t2), p3, t3*t3))
        + (PLUS_TIMES(p4*(t4*t4), p5, t5*t5) + PLUS_TIMES(p6*(t6*t6), p7, t7*t7))) + PLUS_TIMES(p8*(t8*t8), p9, t9*t9);
    const float poles = (((p0 + p1) + (p2 + p3)) + ((p4 + p5) + (p6 + p7))) + (p8 + p9);
    const complex_parts correction = faddeeva_correction(near, y, turns);
    const float large = a > fabsf(y) ? a : fabsf(y), scale = large > 0x1p30F ? 0x1p-65F : 1;
    const float u = a*scale, v = y*scale, inverse = 0x1.20dd76p-1F*scale/PLUS_TIMES(u*u, v, v);
    const int outside = large > 0x1.fffffep+127F;
    complex_parts result;
    result.real = large > 0x1p30F ? v*inverse : TIMES_PLUS(y, TIMES_PLUS(total, poles, squares), correction.real);
    result.imag = large > 0x1p30F ? u*inverse : TIMES_PLUS(a, TIMES_MINUS(total, poles, squares), correction.imag);
    result.real = y < -9 ? NAN : outside ? 0 : result.real;
    result.imag = copysignf(1, x)*(y < -9 ? NAN : outside ? 0 : result.imag);
    return result;
}

/* The real part of the Faddeeva function at x + i*y, the Voigt function. */
INLINE float faddeeva_real_of(float x, float y)
{
    return faddeeva(x, y).real;
}

/* The imaginary part of the Faddeeva function at x + i*y. */
INLINE float faddeeva_imag_of(float x, float y)
{
    return faddeeva(x, y).imag;
}

#endif
