/* The square root in double precision, in programs with single precision: like sqrt_of. A header may define root_of
   as a macro instead. */
#ifndef root_of
static double root_of(double x)
{
    double scale = 1;
    if (!(x > 0 && x < HUGE_VAL))
        return x < 0 ? (x - x)/(x - x) : x;
    for (; x >= 1; x /= 4)
        scale *= 2;
    for (; x < 0.25; x *= 4)
        scale /= 2;
    double result = 0.35 + 0.68*x;
    for (int step = 0; step < 4; step++)
        result = (result + x/result)/2;
    return scale*result;
}
#endif
