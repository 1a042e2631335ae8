/* Predictions: the outputs of rows, tile by tile, or of a few at once.

   Needs samples.h, poll.h, and the kernels predict_tile and, with blocks, predict_row. Gives predict and
   predict_few. */

#ifndef NNCODEGEN_PREDICT_H
#define NNCODEGEN_PREDICT_H

#include "poll.h"
#include "samples.h"

#if !NN_HAS_BLOCKS
/* The outputs of the rows of a tile, by loops that take any number of rows, or NN_ROWS_AT_ONCE at once: those that do
   not fill these are computed with the last again behind them, so that a row has the same bits alone as among others.
   */
static UNUSED void predict_rows(const real *parameters, const real *inputs, size_t count, memory m, real *outputs)
{
    const size_t abreast = NN_ROWS_AT_ONCE ? NN_ROWS_AT_ONCE : 1, whole = count/abreast*abreast;
    if (whole > 0)
        predict_tile(parameters, inputs, NULL, m.weights, whole, m.arrays, outputs);
    if (whole == count)
        return;
    for (size_t n = whole; n < whole + abreast; n++)
        copy_row(inputs + (n < count ? n : count - 1)*INPUTS, m.inputs + (n - whole)*INPUTS, INPUTS);
    predict_tile(parameters, m.inputs, NULL, m.weights, abreast, m.arrays, m.outputs);
    copy_row(m.outputs, outputs + whole*OUTPUTS, (count - whole)*OUTPUTS);
}
#endif

int NN(predict)(const real *parameters, const real *inputs, size_t samples, void *work, real *outputs,
    NN(poll) *poll)
{
    const memory m = carve(work);
#if NN_PREPARES_PREDICT
    predict_prepare(parameters, samples, m.arrays);
#endif
    for (size_t first = 0; first < samples; first += TILE) {
        const size_t count = samples - first < TILE ? samples - first : TILE;
        const tile current = fill(m, inputs, NULL, NULL, NULL, 1, first, count);
#if NN_HAS_BLOCKS
        predict_tile(parameters, current.inputs, NULL, m.weights, count, m.arrays, outputs + first*OUTPUTS);
#else
        predict_rows(parameters, current.inputs, count, m, outputs + first*OUTPUTS);
#endif
        if (stopped(poll, (double) OPERATIONS_PER_SAMPLE*(double) count))
            return 1;
    }
    return 0;
}

int NN(predict_few)(const real *parameters, const real *inputs, size_t samples, void *work, real *outputs)
{
    if (!all_finite(parameters, PARAMETERS) || !all_finite(inputs, samples*INPUTS))
        return 0;
    const memory m = carve(work);
#if NN_HAS_BLOCKS
    for (size_t n = 0; n < samples; n++)
        predict_row(parameters, inputs + n*INPUTS, m.arrays, outputs + n*OUTPUTS);
#else
    const tile current = fill(m, inputs, NULL, NULL, NULL, 1, 0, samples);
    predict_rows(parameters, current.inputs, samples, m, outputs);
#endif
    return 1;
}

#endif
