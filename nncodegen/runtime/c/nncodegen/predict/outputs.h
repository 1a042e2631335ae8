/* The outputs of samples one by one, and of a tile: for predictions of many samples and of few.

   Needs calls.h, samples.h, and the kernels predict_tile and, with blocks and unless NN_TILES_ONLY, predict_sample.
   Gives predicting, ONE_BY_ONE, predict_samples, predict_one_by_one, predict_from. */

#ifndef NNCODEGEN_OUTPUTS_H
#define NNCODEGEN_OUTPUTS_H

#include "nncodegen/base/calls.h"
#include "nncodegen/base/samples.h"

KERNELS(predict_kernels, predicting, PREDICT_KERNELS)

/* The most samples for which sequences are predicted one after the other. In a tile, three samples take less time
   than that if their layers are narrow: with 7 units, in double precision, 9 microseconds instead of 13. */
enum { ONE_BY_ONE = 2 };

/* Computes the outputs of the samples of a tile, without blocks. If the kernel takes only multiples of
   SAMPLES_AT_ONCE, the last sample is repeated to fill one: so every sample is computed in a whole vector, and the
   bits of its outputs do not depend on the samples next to it. */
static UNUSED void predict_samples(const real *parameters, const real *inputs, size_t count, memory m, real *outputs)
{
    const size_t vector_length = SAMPLES_AT_ONCE ? SAMPLES_AT_ONCE : 1;
    const size_t whole = count/vector_length*vector_length;
    if (whole > 0)
        predicting.tile(parameters, inputs, NULL, m.weights, whole, m.arrays, outputs);
    if (whole == count)
        return;
    for (size_t n = whole; n < whole + vector_length; n++)
        copy_row(inputs + (n < count ? n : count - 1)*INPUTS, m.inputs + (n - whole)*INPUTS, INPUTS);
    predicting.tile(parameters, m.inputs, NULL, m.weights, vector_length, m.arrays, m.outputs);
    copy_row(m.outputs, outputs + whole*OUTPUTS, (count - whole)*OUTPUTS);
}

/* Computes the outputs of one sample after the other. */
static UNUSED void predict_one_by_one(const real *parameters, const real *inputs, size_t samples, memory m,
    real *outputs)
{
    for (size_t n = 0; n < samples; n++)
        predicting.sample(parameters, inputs + n*INPUTS, m.arrays, outputs + n*OUTPUTS);
}

/* Computes the outputs of the tile of samples from first on. Returns how many they are. */
INLINE size_t predict_from(size_t first, const real *parameters, const real *inputs, size_t samples, memory m,
    real *outputs)
{
    const size_t count = samples - first < TILE ? samples - first : TILE;
    const tile current = fill(m, inputs, NULL, NULL, NULL, 1, first, count);
    real *const now = outputs + first*OUTPUTS;
    if (HAS_BLOCKS)
        predicting.tile(parameters, current.inputs, NULL, m.weights, count, m.arrays, now);
    else
        predict_samples(parameters, current.inputs, count, m, now);
    return count;
}

#endif
