/* The outputs of a few samples, which take less time than a call of Python. So this is compiled with each model: where
   sizes are constants, work memory need not be cut into arrays (memory.h), and short loops are written out. A
   prediction of one row takes 110 instructions less for an LSTM of 16 units, 420 for the perceptron.

   Needs outputs.h. Gives outputs_of_few. */

#ifndef NNCODEGEN_FEW_H
#define NNCODEGEN_FEW_H

#include "nncodegen/predict/outputs.h"

static COLD void outputs_of_few(const real *parameters, const real *inputs, size_t samples, void *work, real *outputs)
{
    const memory m = carve(work);
    const int one_by_one = HAS_WINDOWS ? !TILES_ONLY && samples <= ONE_BY_ONE : HAS_BLOCKS;
    if (one_by_one) {
        predict_one_by_one(parameters, inputs, samples, m, outputs);
        return;
    }
    if (predicting.prepare)
        predicting.prepare(parameters, samples, m.arrays);
    for (size_t first = 0; first < samples; first += TILE)
        predict_from(first, parameters, inputs, samples, m, outputs);
}

#endif
