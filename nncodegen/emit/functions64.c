/* --- exp_reduced --- exp(r) - 1 for r = x - n*log(2), |r| <= log(2)/2, as r + r*r*q(r). */
static inline double exp_reduced(double x, double n)
{
    const double high = x - n*0x1.62e42fefp-1, low = n*0x1.473de6af278edp-34, r = high - low;
    const double r2 = r*r, r4 = r2*r2;
    const double q01 = 0x1p-1 + r*0x1.5555555555556p-3;
    const double q23 = 0x1.5555555553d37p-5 + r*0x1.11111111109a6p-7;
    const double q45 = 0x1.6c16c1789d1d7p-10 + r*0x1.a01a01a7cebcdp-13;
    const double q67 = 0x1.a019b8ca26fcfp-16 + r*0x1.71de0d85293b8p-19;
    const double q89 = 0x1.2891d4ffbb0f9p-22 + r*0x1.af390ba7e6f47p-26;
    return high + (r2*((q01 + r2*q23) + r4*((q45 + r2*q67) + r4*q89)) - low);
}

/* --- exp_of --- exp(x), for all x: x = k*log(2) + r with |r| <= log(2)/2. */
static inline double exp_of(double x)
{
    const double shift = 0x1.8p52; /* adding it rounds to an integer, which the low bits then hold */
    x = x < -746 ? -746 : x;
    x = x > 710 ? 710 : x;
    const union { double real; uint64_t bits; } k = {x*0x1.71547652b82fep+0 + shift};
    const double n = k.real - shift;
    const double p = 1 + exp_reduced(x, n);
    const uint64_t biased = (k.bits + 2048) & 4095, half = biased >> 1; /* 2**k in two factors: it may be subnormal */
    const union { uint64_t bits; double real; } first = {(half - 1) << 52}, second = {(biased - half - 1) << 52};
    return p*first.real*second.real;
}

/* --- decay_of --- exp(-a) for a >= 0: as exp_of, where 2**k can only become subnormal. */
static inline double decay_of(double a)
{
    const double shift = 0x1.8p52;
    a = a > 746 ? 746 : a;
    const union { double real; uint64_t bits; } k = {shift - a*0x1.71547652b82fep+0};
    const double n = k.real - shift;
    const double p = exp_reduced(-a, n);
    const union { uint64_t bits; double real; } scale = {(k.bits + 1023 + 128) << 52}; /* 2**(k + 128) */
    const double w = scale.real*0x1p-128;
    return w + w*p;
}

/* --- rise_of --- 1 - exp(-a) for a >= 0, of the same parts as decay_of, which a compiler then computes once. */
static inline double rise_of(double a)
{
    const double shift = 0x1.8p52;
    a = a > 746 ? 746 : a;
    const union { double real; uint64_t bits; } k = {shift - a*0x1.71547652b82fep+0};
    const double n = k.real - shift;
    const double p = exp_reduced(-a, n);
    const union { uint64_t bits; double real; } scale = {(k.bits + 1023 + 128) << 52};
    const double w = scale.real*0x1p-128;
    return (1 - w) - w*p;
}

/* --- expm1_of --- exp(x) - 1: as exp_of, with 2**k*(exp(r) - 1) + (2**k - 1). */
static inline double expm1_of(double x)
{
    const double shift = 0x1.8p52;
    x = x < -50 ? -50 : x;
    x = x > 710 ? 710 : x;
    const union { double real; uint64_t bits; } k = {x*0x1.71547652b82fep+0 + shift};
    const double n = k.real - shift;
    const double p = exp_reduced(x, n);
    const uint64_t biased = (k.bits + 2048) & 4095, half = biased >> 1;
    const union { uint64_t bits; double real; } first = {(half - 1) << 52}, second = {(biased - half - 1) << 52},
        inverse = {(2047 - (biased - half)) << 52};
    return (p*first.real + (first.real - inverse.real))*second.real;
}

/* --- log_sum --- log(u + c) for a small correction c of u: u = 2**k*(1 + f), and
   log(1 + f) = f - f*f/2 + s*(f*f/2 + R) with s = f/(2 + f) and R = s*s*q(s*s). */
static inline double log_sum(double u, double c)
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
    const double q01 = 0x1.5555555555558p-1 + z*0x1.9999999995204p-2;
    const double q23 = 0x1.2492492e09d4dp-2 + z*0x1.c71c62c639fdep-3;
    const double q45 = 0x1.7462bd8f7796ep-3 + z*0x1.39fd392179a95p-3;
    const double R = z*((q01 + z2*q23) + z2*z2*(q45 + z2*0x1.2b6688a387e03p-3));
    const double value = k*0x1.62e42fefp-1 - ((half - (s*(half + R) + (k*0x1.473de6af278edp-34 + c/u))) - f);
    return u > 0 ? (u < HUGE_VAL ? value : u) : u == 0 ? -HUGE_VAL : NAN;
}

/* --- log_of --- log(x). */
static inline double log_of(double x)
{
    return log_sum(x, 0);
}

/* --- log1p_of --- log(1 + x), with what 1 + x loses as the correction. */
static inline double log1p_of(double x)
{
    const double u = 1 + x;
    return log_sum(u, x < 1 ? x - (u - 1) : 1 - (u - x));
}

/* --- tanh_of --- tanh(z), given e = exp(-2*|z|) and r = 1/(1 + e): (1 - e)*r, and what the rounding of r took from it. */
static inline double tanh_of(double z, double e, double r)
{
    const double c = rise_of(2*fabs(z));
    const double t = c*r;
    return copysign(t + r*((c - t) - t*e), z);
}
