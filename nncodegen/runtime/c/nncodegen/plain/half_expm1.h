/* (exp(2*|z|) - 1)/2, of which hyperbolic functions are made. */
static real half_expm1_of(real z)
{
    return LIBM(expm1)(2*LIBM(fabs)(z))/2;
}
