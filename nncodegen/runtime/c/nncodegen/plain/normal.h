/* A normally distributed number with a standard deviation, by the polar method (Marsaglia and Bray, 1964). */
static real normal_noise(uint64_t noise, unsigned layer, size_t unit, real deviation)
{
    const real scale = (real) 4.656612873077393e-10; /* 2/2^32 */
    real u = 0, q = 0;
    for (uint64_t attempt = 0; !(q > 0 && q < 1); attempt++) {
        const uint64_t bits = mixed(noise + (attempt << 48));
        u = (real) (noise_bits(bits, layer, 2*unit) >> 8)*256*scale - 1;
        const real v = (real) (noise_bits(bits, layer, 2*unit + 1) >> 8)*256*scale - 1;
        q = u*u + v*v;
    }
    return deviation*u*LIBM(sqrt)(-2*LIBM(log)(q)/q);
}
