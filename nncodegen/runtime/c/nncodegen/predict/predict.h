/* Predictions: the outputs of any number of samples, tile by tile, or of a few samples.

   Needs outputs.h, poll.h and, except in the library, few.h. Gives predict and predict_few. */

#ifndef NNCODEGEN_PREDICT_H
#define NNCODEGEN_PREDICT_H

#ifndef NNCODEGEN_LIBRARY
#include "nncodegen/predict/few.h"
#endif
#include "nncodegen/predict/outputs.h"
#include "nncodegen/base/poll.h"

int NN(predict)(const real *parameters, const real *inputs, size_t samples, void *work, real *outputs,
    NN(poll) *poll)
{
    const memory m = carve(work);
    set_step_limit(m, poll);
    if (HAS_WINDOWS && !TILES_ONLY && samples <= ONE_BY_ONE) {
        predict_one_by_one(parameters, inputs, samples, m, outputs);
        return stopped(poll, (double) OPERATIONS*(double) samples);
    }
    if (predicting.prepare)
        predicting.prepare(parameters, samples, m.arrays);
    for (size_t first = 0; first < samples; first += TILE) {
        const size_t count = predict_from(first, parameters, inputs, samples, m, outputs);
        if (stopped(poll, (double) OPERATIONS*(double) count))
            return 1;
    }
    return 0;
}

int NN(predict_few)(const real *parameters, const real *inputs, size_t samples, void *work, real *outputs)
{
    if (!few_finite(parameters, PARAMETERS) || !few_finite(inputs, samples*INPUTS))
        return 0;
    outputs_of_few(parameters, inputs, samples, work, outputs);
    return 1;
}

#endif
