/* The larger of two numbers, or NaN if either is NaN: NaN must not be lost in a comparison. */
static real maximum(real a, real b)
{
    return a > b || a != a ? a : b;
}
