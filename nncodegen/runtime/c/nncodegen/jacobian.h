/* The derivatives of the outputs of samples by the parameters, row by row.

   Needs samples.h, poll.h, and the kernel jacobian_tile of a program whose outputs are, for each sample, the outputs of
   a model and their derivatives by the parameters; with several outputs, those of their sum with the targets of the
   program as factors, its seeds. Gives rows_of_tile, jacobian. */

#ifndef NNCODEGEN_JACOBIAN_H
#define NNCODEGEN_JACOBIAN_H

#include "poll.h"
#include "samples.h"

enum { FIT_OUTPUTS = NN_FIT_OUTPUTS, SEEDED = FIT_OUTPUTS > 1 };

/* The parts of work memory besides those of memory.h: the rows of a tile, and their seeds. */
static UNUSED size_t size_of_rows(void)
{
    return PADDED_BYTES(real, (size_t) TILE*OUTPUTS) + PADDED_BYTES(real, (size_t) TILE*TARGETS);
}

typedef struct {
    memory m;
    real *rows; /* of a tile: FIT_OUTPUTS outputs, then PARAMETERS derivatives */
    real *seeds;
} row_memory;

static UNUSED row_memory carve_rows(void *work)
{
    char *const behind = (char *) work + size_of_work();
    return (row_memory) {carve(work), (real *) behind, (real *) (behind + PADDED_BYTES(real, (size_t) TILE*OUTPUTS))};
}

/* What the rows need of the parameters alone; before those of a tile. */
static UNUSED void prepare_rows(const real *parameters, size_t samples, row_memory r)
{
#if NN_PREPARES_JACOBIAN
    jacobian_prepare(parameters, samples, r.m.arrays);
#else
    (void) parameters, (void) samples, (void) r;
#endif
}

/* The rows of a tile, with the derivatives of one output. */
static UNUSED void rows_of_tile(const real *parameters, const real *inputs, size_t first, size_t count, size_t output,
    row_memory r)
{
    const size_t seeds = SEEDED ? TARGETS : 0;
    for (size_t n = 0; n < TILE*seeds; n++)
        r.seeds[n] = 0;
    for (size_t n = 0; SEEDED && n < TILE; n++)
        r.seeds[n*TARGETS + output] = 1;
    const tile now = fill(r.m, inputs, NULL, NULL, NULL, 1, first, count);
    jacobian_tile(parameters, now.inputs, SEEDED ? r.seeds : NULL, r.m.weights, count, r.m.arrays, r.rows);
}

size_t NN(jacobian_size)(void)
{
    return size_of_work() + size_of_rows() + 64;
}

int NN(jacobian)(const real *parameters, const real *inputs, size_t samples, void *work, real *derivatives,
    NN(poll) *poll)
{
    const row_memory r = carve_rows(work);
    prepare_rows(parameters, samples, r);
    for (size_t first = 0; first < samples; first += TILE) {
        const size_t count = samples - first < TILE ? samples - first : TILE;
        for (size_t output = 0; output < FIT_OUTPUTS; output++) {
            rows_of_tile(parameters, inputs, first, count, output, r);
            for (size_t n = 0; n < count; n++)
                copy_row(r.rows + n*OUTPUTS + FIT_OUTPUTS,
                    derivatives + ((first + n)*FIT_OUTPUTS + output)*PARAMETERS, PARAMETERS);
        }
        if (stopped(poll, (double) FIT_OUTPUTS*OPERATIONS_PER_SAMPLE*(double) count))
            return 1;
    }
    return 0;
}

#endif
