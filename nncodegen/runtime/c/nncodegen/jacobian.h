/* The derivatives of the outputs of samples by the parameters, row by row.

   Needs samples.h, poll.h, and the kernel jacobian_tile of a program whose outputs are, for each sample, the outputs of
   a model and their derivatives by the parameters; with several outputs, those of their sum with the targets of the
   program as factors, its seeds. Where a loss is no sum of squares (CURVED), a row holds the loss, its derivatives by
   each output, its second derivatives times the seeds, and then the derivatives of outputs; these may be the arguments
   of activations instead; and the targets of the model lie before the seeds. Gives rows_of_tile, seed, jacobian. */

#ifndef NNCODEGEN_JACOBIAN_H
#define NNCODEGEN_JACOBIAN_H

#include "poll.h"
#include "samples.h"

enum {
    FIT_OUTPUTS = NN_FIT_OUTPUTS,
    SEEDED = FIT_OUTPUTS > 1,
    CURVED = NN_FIT_CURVED,
    GUARDS = NN_FIT_GUARDS, /* values behind those of a row that are listed above, see guards.h */
    FIT_TARGETS = TARGETS - SEEDED*FIT_OUTPUTS, /* of the program, before its seeds */
    DERIVATIVES = (CURVED ? 1 + 2*FIT_OUTPUTS : FIT_OUTPUTS) + GUARDS /* where those by the parameters begin in a row */
};

/* The parts of work memory besides those of memory.h: the rows of a tile, and their seeds. */
static UNUSED size_t size_of_rows(void)
{
    return PADDED_BYTES(real, (size_t) TILE*OUTPUTS) + PADDED_BYTES(real, (size_t) TILE*TARGETS);
}

typedef struct {
    memory m;
    real *rows; /* of a tile: DERIVATIVES other values, then PARAMETERS derivatives */
    real *seeds; /* with the targets before them, where CURVED */
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

/* Seeds that ask for one output. */
static UNUSED void seed(size_t output, row_memory r)
{
    for (size_t n = 0; SEEDED && n < TILE; n++)
        for (size_t k = 0; k < FIT_OUTPUTS; k++)
            r.seeds[n*TARGETS + FIT_TARGETS + k] = k == output;
}

/* The rows of a tile, with the derivatives of what the seeds ask for. */
static UNUSED void rows_of_tile(const real *parameters, const real *inputs, size_t first, size_t count, row_memory r)
{
    const tile now = fill(r.m, inputs, NULL, NULL, NULL, 1, first, count);
    jacobian_tile(parameters, now.inputs, SEEDED || CURVED ? r.seeds : NULL, r.m.weights, count, r.m.arrays, r.rows);
}

size_t NN(jacobian_size)(void)
{
    return size_of_work() + size_of_rows() + 64;
}

int NN(jacobian)(const real *parameters, const real *inputs, size_t samples, void *work, real *derivatives,
    NN(poll) *poll)
{
    const row_memory r = carve_rows(work);
    const size_t unknown = CURVED ? TILE*TARGETS : 0;
    for (size_t k = 0; k < unknown; k++)
        r.seeds[k] = 0; /* derivatives of outputs do not depend on targets */
    prepare_rows(parameters, samples, r);
    for (size_t first = 0; first < samples; first += TILE) {
        const size_t count = samples - first < TILE ? samples - first : TILE;
        for (size_t output = 0; output < FIT_OUTPUTS; output++) {
            seed(output, r);
            rows_of_tile(parameters, inputs, first, count, r);
            for (size_t n = 0; n < count; n++)
                copy_row(r.rows + n*OUTPUTS + DERIVATIVES,
                    derivatives + ((first + n)*FIT_OUTPUTS + output)*PARAMETERS, PARAMETERS);
        }
        if (stopped(poll, (double) FIT_OUTPUTS*OPERATIONS_PER_SAMPLE*(double) count))
            return 1;
    }
    return 0;
}

#endif
