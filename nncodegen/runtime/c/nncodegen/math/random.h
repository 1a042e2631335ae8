/* Random numbers. The order of the samples comes from a generator with a state (shuffle.h). Noise is a hash of seed,
   update, layer, sample and unit, so that it does not depend on the order in which it is computed.

   Needs base.h, and log_of for normal noise. Gives shuffle, dropout_noise and normal_noise. */

#ifndef NNCODEGEN_RANDOM_H
#define NNCODEGEN_RANDOM_H

#include "nncodegen/base/calls.h"
#include "nncodegen/math/functions.h"
#include "nncodegen/train/shuffle.h"

/* The finalizer of SplitMix64 (Steele, Lea and Flood, 2014). */
INLINE uint64_t mixed(uint64_t z)
{
    z = (z ^ z >> 30)*UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27)*UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* The finalizer of MurmurHash3 (Appleby, 2011). */
INLINE uint32_t mixed_half(uint32_t z)
{
    z = (z ^ z >> 16)*UINT32_C(0x85EBCA6B);
    z = (z ^ z >> 13)*UINT32_C(0xC2B2AE35);
    return z ^ z >> 16;
}

/* Returns the random bits of an update, or those of a layer in it. */
INLINE uint64_t noise_of_update(uint64_t seed, size_t number)
{
    return mixed(mixed(seed) + UINT64_C(0x9E3779B97F4A7C15)*((uint64_t) number + 1));
}

INLINE uint64_t noise_of_layer(randomness noise, uint64_t layer)
{
    return mixed(noise.key + UINT64_C(0x9E3779B97F4A7C15)*layer);
}

#if NN_HAS_NOISE
/* Returns 32 random bits for a sample and a unit. */
INLINE uint32_t noise_bits(uint64_t key, size_t sample, size_t unit)
{
    const uint32_t low = mixed_half((uint32_t) sample + (uint32_t) key);
    return mixed_half(low ^ ((uint32_t) unit*UINT32_C(0x9E3779B9) + (uint32_t) (key >> 32)));
}

/* Returns -scale if a unit is dropped, with probability threshold/2^32, else kept*scale. */
INLINE real dropout_noise(uint64_t key, real scale, size_t sample, size_t unit, uint32_t threshold, real kept)
{
    return scale*(noise_bits(key, sample, unit) < threshold ? (real) -1 : kept);
}

/* A normally distributed number with a standard deviation, times scale (Box and Muller, 1958): at most 6 standard
   deviations in single precision and 6.7 in double. The angle is a fraction of a full turn, from -1/2 to 1/2; its
   cosine is the sine of x, between -pi/2 and pi/2, by a series with an error below 1e-11. */
INLINE real normal_noise(uint64_t key, real scale, size_t sample, size_t unit, real deviation)
{
    const int shift = sizeof(real) == 4 ? 8 : 0; /* the precision holds this number of bits, at most 32 */
    const real unit_of_bits = (real) (sizeof(real) == 4 ? 5.9604644775390625e-8 : 2.3283064365386963e-10);
    const real first = ((real) (noise_bits(key, sample, 2*unit) >> shift) + (real) 0.5)*unit_of_bits;
    const real angle = (real) (noise_bits(key, sample, 2*unit + 1) >> shift)*unit_of_bits - (real) 0.5;
    const real x = (real) 6.283185307179586*((real) 0.25 - (angle < 0 ? -angle : angle)), q = x*x;
    real series = (real) -7.647163731819816e-13;
    series = series*q + (real) 1.605904383682161e-10;
    series = series*q + (real) -2.505210838544172e-8;
    series = series*q + (real) 2.755731922398589e-6;
    series = series*q + (real) -1.984126984126984e-4;
    series = series*q + (real) 8.333333333333333e-3;
    series = series*q + (real) -0.16666666666666667;
    series = x + x*q*series;
    return scale*deviation*(real) sqrt((double) (-2*log_of(first)))*series;
}
#endif

#endif
