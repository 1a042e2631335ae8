/* Returns -1 if a unit is dropped, with probability threshold/2^32, else kept. */
static real dropout_noise(uint64_t noise, unsigned layer, size_t unit, uint32_t threshold, real kept)
{
    return noise_bits(noise, layer, unit) < threshold ? -1 : kept;
}
