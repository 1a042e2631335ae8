/* The quantities of a model at samples other than its outputs. The last line of NAME_fields.c includes it.

   Needs kernel.h, and the kernel jacobian_tile of a program whose outputs are the fields. Gives all functions of fields
   that the header of the model declares. */

#ifndef NNCODEGEN_FIELDS_H
#define NNCODEGEN_FIELDS_H

#include "nncodegen/base/poll.h"
#include "nncodegen/base/samples.h"

size_t NN(fields_size)(void)
{
    return size_of_work() + 64;
}

int NN(fields)(const real *parameters, const real *inputs, const real *targets, size_t samples, void *work,
    real *values, NN(poll) *poll)
{
    const memory m = carve(work);
#if NN_PREPARES_JACOBIAN
    jacobian_prepare(parameters, samples, m.arrays);
#endif
    for (size_t first = 0; first < samples; first += TILE) {
        const size_t count = samples - first < TILE ? samples - first : TILE;
        const tile now = fill(m, inputs, targets, NULL, NULL, 1, first, count);
        jacobian_tile(parameters, now.inputs, now.targets, m.weights, count, m.arrays, values + first*OUTPUTS);
        if (stopped(poll, (double) OPERATIONS*(double) count))
            return 1;
    }
    return 0;
}

#ifdef NNCODEGEN_APART
#define NN_PART NN_ENTRY_POINTS_FOR_FIELDS(NN_INITIAL)
#include "nncodegen/base/part.h"
#endif

#endif
