/* The finalizer of SplitMix64 (Steele, Lea and Flood, 2014). */
static uint64_t mixed(uint64_t z)
{
    z = (z ^ z >> 30)*UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27)*UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* 32 random bits for a sample, a layer and a unit of it. */
static uint32_t noise_bits(uint64_t noise, unsigned layer, size_t unit)
{
    return (uint32_t) (mixed(mixed(noise + UINT64_C(0x9E3779B97F4A7C15)*layer) + unit) >> 32);
}
