/* Predictions: the outputs of any number of samples, tile by tile, or of a few samples.

   Needs samples.h, poll.h, and the kernels predict_tile and, with blocks and unless NN_TILES_ONLY, predict_sample.
   Gives predict and predict_few. */

#ifndef NNCODEGEN_PREDICT_H
#define NNCODEGEN_PREDICT_H

#include "poll.h"
#include "samples.h"

/* The most samples for which sequences are predicted one after the other. In a tile, three samples take less time
   than that if their layers are narrow: with 7 units, in double precision, 9 microseconds instead of 13. */
enum { ONE_BY_ONE = 2 };

#if !NN_HAS_BLOCKS
/* Computes the outputs of the samples of a tile. If predict_tile takes only multiples of NN_SAMPLES_AT_ONCE, the
   last sample is repeated to fill one: so every sample is computed in a whole vector, and the bits of its outputs do
   not depend on the samples next to it. */
static UNUSED void predict_samples(const real *parameters, const real *inputs, size_t count, memory m, real *outputs)
{
    const size_t vector_length = NN_SAMPLES_AT_ONCE ? NN_SAMPLES_AT_ONCE : 1;
    const size_t whole = count/vector_length*vector_length;
    if (whole > 0)
        predict_tile(parameters, inputs, NULL, m.weights, whole, m.arrays, outputs);
    if (whole == count)
        return;
    for (size_t n = whole; n < whole + vector_length; n++)
        copy_row(inputs + (n < count ? n : count - 1)*INPUTS, m.inputs + (n - whole)*INPUTS, INPUTS);
    predict_tile(parameters, m.inputs, NULL, m.weights, vector_length, m.arrays, m.outputs);
    copy_row(m.outputs, outputs + whole*OUTPUTS, (count - whole)*OUTPUTS);
}
#endif

#if NN_HAS_WINDOWS && !NN_TILES_ONLY
/* Computes the outputs of one sequence after the other. */
static void predict_sequences(const real *parameters, const real *inputs, size_t samples, memory m, real *outputs)
{
    for (size_t n = 0; n < samples; n++)
        predict_sample(parameters, inputs + n*INPUTS, m.arrays, outputs + n*OUTPUTS);
}
#endif

int NN(predict)(const real *parameters, const real *inputs, size_t samples, void *work, real *outputs,
    NN(poll) *poll)
{
    const memory m = carve(work);
#if NN_HAS_WINDOWS && !NN_TILES_ONLY
    if (samples <= ONE_BY_ONE) {
        predict_sequences(parameters, inputs, samples, m, outputs);
        return stopped(poll, (double) OPERATIONS_PER_SAMPLE*(double) samples);
    }
#endif
#if NN_PREPARES_PREDICT
    predict_prepare(parameters, samples, m.arrays);
#endif
    for (size_t first = 0; first < samples; first += TILE) {
        const size_t count = samples - first < TILE ? samples - first : TILE;
        const tile current = fill(m, inputs, NULL, NULL, NULL, 1, first, count);
#if NN_HAS_BLOCKS
        predict_tile(parameters, current.inputs, NULL, m.weights, count, m.arrays, outputs + first*OUTPUTS);
#else
        predict_samples(parameters, current.inputs, count, m, outputs + first*OUTPUTS);
#endif
        if (stopped(poll, (double) OPERATIONS_PER_SAMPLE*(double) count))
            return 1;
    }
    return 0;
}

int NN(predict_few)(const real *parameters, const real *inputs, size_t samples, void *work, real *outputs)
{
    if (!few_finite(parameters, PARAMETERS) || !few_finite(inputs, samples*INPUTS))
        return 0;
    const memory m = carve(work);
#if NN_HAS_WINDOWS && !NN_TILES_ONLY
    if (samples <= ONE_BY_ONE) {
        predict_sequences(parameters, inputs, samples, m, outputs);
        return 1;
    }
#endif
#if NN_PREPARES_PREDICT && (NN_HAS_WINDOWS || !NN_HAS_BLOCKS)
    predict_prepare(parameters, samples, m.arrays);
#endif
#if NN_HAS_WINDOWS
    const tile current = fill(m, inputs, NULL, NULL, NULL, 1, 0, samples);
    predict_tile(parameters, current.inputs, NULL, m.weights, samples, m.arrays, outputs);
#elif NN_HAS_BLOCKS
    for (size_t n = 0; n < samples; n++)
        predict_sample(parameters, inputs + n*INPUTS, m.arrays, outputs + n*OUTPUTS);
#else
    const tile current = fill(m, inputs, NULL, NULL, NULL, 1, 0, samples);
    predict_samples(parameters, current.inputs, samples, m, outputs);
#endif
    return 1;
}

#endif
