
/* -1 where a unit is dropped, for a share threshold/2^32 of all; else kept. */
INLINE real dropout_noise(uint64_t key, real scale, size_t row, size_t unit, uint32_t threshold, real kept)
{
    return scale*(noise_bits(key, row, unit) < threshold ? (real) -1 : kept);
}
