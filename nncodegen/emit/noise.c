
/* --- random numbers by counters: a function of seed, update, layer, row and unit, whatever the order of the work --- */

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

INLINE uint64_t noise_of_update(uint64_t seed, size_t number)
{
    return mixed(mixed(seed) + UINT64_C(0x9E3779B97F4A7C15)*((uint64_t) number + 1));
}

INLINE uint64_t noise_of_layer(randomness noise, uint64_t layer)
{
    return mixed(noise.key + UINT64_C(0x9E3779B97F4A7C15)*layer);
}

/* 32 random bits for a row and a unit. */
INLINE uint32_t noise_bits(uint64_t key, size_t row, size_t unit)
{
    const uint32_t low = mixed_half((uint32_t) row + (uint32_t) key);
    return mixed_half(low ^ ((uint32_t) unit*UINT32_C(0x9E3779B9) + (uint32_t) (key >> 32)));
}
