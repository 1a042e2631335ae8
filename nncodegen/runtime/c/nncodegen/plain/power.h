/* Returns base to the power of exponent, the number of updates. */
static double power(double base, unsigned long exponent)
{
    double result = 1;
    for (; exponent > 0; exponent /= 2) {
        if (exponent % 2 == 1)
            result *= base;
        base *= base;
    }
    return result;
}
