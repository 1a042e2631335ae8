/* The random numbers of the runtime, for Python: sizes and counts are size_t, other numbers double. */

#include "sample.h"

#include "nncodegen/math/random.h"

uint64_t draw(uint64_t *state)
{
    return random_number(state);
}

size_t draw_below(uint64_t bound, uint64_t *state)
{
    return random_below(bound, state);
}

void make_order(size_t *order, size_t samples, uint64_t *state)
{
    shuffle(order, samples, state);
}

uint64_t key_of(uint64_t seed, size_t update, uint64_t layer)
{
    return noise_of_layer((randomness) {noise_of_update(seed, update), 1}, layer);
}

/* out[n][unit] for the given rows n. */
void dropout(uint64_t key, double scale, const size_t *rows, size_t count, size_t units, size_t threshold, double kept,
    real *out)
{
    for (size_t n = 0; n < count; n++)
        for (size_t unit = 0; unit < units; unit++)
            out[n*units + unit] = dropout_noise(key, (real) scale, rows[n], unit, (uint32_t) threshold, (real) kept);
}

void normal(uint64_t key, double scale, const size_t *rows, size_t count, size_t units, double deviation, real *out)
{
    for (size_t n = 0; n < count; n++)
        for (size_t unit = 0; unit < units; unit++)
            out[n*units + unit] = normal_noise(key, (real) scale, rows[n], unit, (real) deviation);
}
