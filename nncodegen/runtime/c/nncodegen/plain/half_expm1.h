/* (exp(2*|z|) - 1)/2, from which hyperbolic functions are computed. */
static real half_expm1_of(real z)
{
    return LIBM(expm1)(2*LIBM(fabs)(z))/2;
}
