/* A replacement for the library of mathematics: square roots, signs, infinity. */

#define HUGE_VALF (1.0F/0.0F)
#define HUGE_VAL (1.0/0.0)
#define NAN (0.0F/0.0F)
#define LIBM(function) function##_of
#define fabs(x) fabs_of(x)
#define fabsf(x) fabs_of(x)
#define sqrt(x) sqrt_of(x)
#define sqrtf(x) sqrt_of(x)
#define copysign(x, sign) copysign_of(x, sign)
#define copysignf(x, sign) copysign_of(x, sign)

INLINE real fabs_of(real x)
{
    return x < 0 ? -x : x;
}

INLINE real copysign_of(real x, real sign)
{
    return (x < 0) == (sign < 0) ? x : -x;
}

/* The square root, by Newton's method: x = m*4^k with 1/4 <= m < 1, where the first value is within 4 %, and each
   step doubles the digits. The error is at most one unit in the last place. */
INLINE real sqrt_of(real x)
{
    real scale = 1;
    if (!(x > 0 && x < (real) HUGE_VALF))
        return x < 0 ? (x - x)/(x - x) : x;
    for (; x >= 1; x /= 4)
        scale *= 2;
    for (; x < (real) 0.25; x *= 4)
        scale /= 2;
    real root = (real) 0.35 + (real) 0.68*x;
    for (int step = 0; step < (sizeof(real) == 8 ? 4 : 3); step++)
        root = (root + x/root)/2;
    return scale*root;
}
