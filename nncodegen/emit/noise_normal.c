
/* A normally distributed number of a standard deviation (Box and Muller, 1958), up to 6 of them in single precision
   and 6.7 in double. The cosine is a sine between -pi/2 and pi/2: its series, with an error below 1e-11. */
INLINE real normal_noise(uint64_t key, real scale, size_t row, size_t unit, real deviation)
{
    const int shift = sizeof(real) == 4 ? 8 : 0; /* as many bits as the precision holds, 32 at most */
    const real unit_of_bits = (real) (sizeof(real) == 4 ? 5.9604644775390625e-8 : 2.3283064365386963e-10);
    const real first = ((real) (noise_bits(key, row, 2*unit) >> shift) + (real) 0.5)*unit_of_bits;
    const real turn = (real) (noise_bits(key, row, 2*unit + 1) >> shift)*unit_of_bits - (real) 0.5;
    const real x = (real) 6.283185307179586*((real) 0.25 - (turn < 0 ? -turn : turn)), q = x*x;
    real series = (real) -7.647163731819816e-13;
    series = series*q + (real) 1.605904383682161e-10;
    series = series*q + (real) -2.505210838544172e-8;
    series = series*q + (real) 2.755731922398589e-6;
    series = series*q + (real) -1.984126984126984e-4;
    series = series*q + (real) 8.333333333333333e-3;
    series = series*q + (real) -0.16666666666666667;
    series = x + x*q*series;
    return scale*deviation*(real) sqrt(-2*log_of(first))*series;
}
