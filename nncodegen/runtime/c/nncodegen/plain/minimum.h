/* The smaller of two numbers, or NaN if either is NaN. */
static real minimum(real a, real b)
{
    return a < b || a != a ? a : b;
}
