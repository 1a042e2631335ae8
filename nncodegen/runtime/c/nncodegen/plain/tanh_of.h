/* tanh(z), given e = (exp(2*|z|) - 1)/2 and r = 1/(1 + e). */
static real tanh_of(real z, real e, real r)
{
    const real value = e > 1 ? 1 - r : e*r;
    return z < 0 ? -value : value;
}
