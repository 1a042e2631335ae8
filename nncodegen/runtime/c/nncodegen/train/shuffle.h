/* A random order of the samples, from a generator with a state.

   Needs base.h. Gives shuffle. */

#ifndef NNCODEGEN_SHUFFLE_H
#define NNCODEGEN_SHUFFLE_H

#include "nncodegen/base/base.h"

/* Returns a pseudo-random number: SplitMix64 (Steele, Lea and Flood, 2014). */
static UNUSED uint64_t random_number(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30)*UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27)*UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* Returns a random number below a bound: 64 random bits, as a fraction, times the bound, which is faster than a
   remainder. Its bias is below bound/2^64. Only bounds above 32 bits use the remainder. */
INLINE size_t random_below(uint64_t bound, uint64_t *state)
{
    const uint64_t z = random_number(state);
    if (bound >> 32)
        return (size_t) (z%bound);
    return (size_t) (((z >> 32)*bound + ((z & UINT32_MAX)*bound >> 32)) >> 32);
}

/* Makes a random order of the samples (Fisher and Yates). */
static HOT void shuffle(size_t *order, size_t samples, uint64_t *random)
{
    for (size_t n = 0; n < samples; n++)
        order[n] = n;
    for (size_t n = samples; n > 1; n--) {
        const size_t other = random_below(n, random);
        const size_t sample = order[n - 1];
        order[n - 1] = order[other];
        order[other] = sample;
    }
}

#endif
