/* The smaller of two numbers, or NaN where either is. */
static real minimum(real a, real b)
{
    return a < b || a != a ? a : b;
}
