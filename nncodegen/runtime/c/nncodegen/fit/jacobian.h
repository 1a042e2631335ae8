/* The derivatives of the outputs of samples by the parameters, row by row.

   Needs calls.h, samples.h, poll.h, and the kernel jacobian_tile of a program. For each sample, the outputs of the
   program are the outputs of a model and their derivatives by the parameters; with several outputs, the derivatives of
   their sum weighted by the targets of the program, its seeds. If a loss is no sum of squares (FIT_CURVED), a row
   contains the loss, its derivatives by each output, its second derivatives times the seeds, and then the derivatives
   of outputs, or of the arguments of activations instead; the targets of the model are before the seeds, and after them
   FIT_APART numbers that say which blocks of outputs have known targets (convex.h). With FIT_FORWARD, a row has the
   derivatives of all outputs, by one parameter after the other, and there are no seeds but those of second derivatives.
   Gives rows_of_seeds, rows_of_tile, rows_of_output, derivatives_of, seed, jacobian. */

#ifndef NNCODEGEN_JACOBIAN_H
#define NNCODEGEN_JACOBIAN_H

#include "nncodegen/base/calls.h"
#include "nncodegen/base/poll.h"
#include "nncodegen/base/samples.h"

KERNELS(row_kernels, of_rows, ROW_KERNELS)

#define SEEDED (FIT_OUTPUTS > 1 && (FIT_CURVED || !FIT_FORWARD))
#define FIT_TARGETS (TARGETS - SEEDED*FIT_OUTPUTS - FIT_APART) /* targets of the program before its seeds */

/* The offset of the derivatives by the parameters in a row. Before them are the guards (guards.h). */
#define DERIVATIVES ((FIT_CURVED ? 1 + 2*FIT_OUTPUTS : FIT_OUTPUTS) + FIT_GUARDS)

/* The distance between the derivatives of an output by two parameters. */
#define BETWEEN (FIT_FORWARD ? FIT_OUTPUTS : 1)

/* The size of the work memory in addition to memory.h: the rows of a tile, and their seeds. */
static UNUSED size_t size_of_rows(void)
{
    return PADDED_BYTES(real, (size_t) TILE*OUTPUTS) + PADDED_BYTES(real, (size_t) TILE*TARGETS);
}

typedef struct {
    memory m;
    real *rows; /* the rows of a tile: DERIVATIVES other values, then PARAMETERS derivatives */
    real *seeds; /* preceded by the targets, if FIT_CURVED */
} row_memory;

static UNUSED row_memory carve_rows(void *work)
{
    char *const after = (char *) work + size_of_work();
    return (row_memory) {carve(work), (real *) after, (real *) (after + PADDED_BYTES(real, (size_t) TILE*OUTPUTS))};
}

/* Computes the part of the rows that depends only on the parameters; called before the rows of tiles. */
static UNUSED void prepare_rows(const real *parameters, size_t samples, row_memory r)
{
    if (of_rows.prepare)
        of_rows.prepare(parameters, samples, r.m.arrays);
}

/* Sets seeds that select one output. */
static UNUSED void seed(size_t output, row_memory r)
{
    for (size_t n = 0; SEEDED && n < TILE; n++)
        for (size_t k = 0; k < FIT_OUTPUTS; k++)
            r.seeds[n*TARGETS + FIT_TARGETS + k] = k == output;
}

/* Computes the rows of a tile, with the derivatives that the seeds select; solved says that only these have changed
   since the last call. */
static UNUSED void rows_of_seeds(const real *parameters, const real *inputs, size_t first, size_t count, int solved,
    row_memory r)
{
    const tile now = fill(r.m, inputs, NULL, NULL, NULL, 1, first, count);
    set_solved(r.m, solved);
    of_rows.tile(parameters, now.inputs, SEEDED || FIT_CURVED ? r.seeds : NULL, r.m.weights, count, r.m.arrays, r.rows);
}

/* Computes the rows of a tile, with the derivatives that the seeds select. */
static UNUSED void rows_of_tile(const real *parameters, const real *inputs, size_t first, size_t count, row_memory r)
{
    rows_of_seeds(parameters, inputs, first, count, 0, r);
}

/* Computes the rows of a tile with the derivatives of an output, of one output after the other, unless those of the
   first output have them. */
static UNUSED void rows_of_output(const real *parameters, const real *inputs, size_t first, size_t count, size_t output,
    row_memory r)
{
    if (FIT_FORWARD && output > 0)
        return;
    seed(output, r);
    rows_of_seeds(parameters, inputs, first, count, output > 0, r);
}

/* Returns the derivatives of an output in the rows of a tile. */
static UNUSED const real *derivatives_of(size_t output, row_memory r)
{
    return r.rows + DERIVATIVES + (FIT_FORWARD ? output : 0);
}

size_t NN(jacobian_size)(void)
{
    return size_of_work() + size_of_rows() + 64;
}

int NN(jacobian)(const real *parameters, const real *inputs, size_t samples, void *work, real *derivatives,
    NN(poll) *poll)
{
    const row_memory r = carve_rows(work);
    const size_t unknown = FIT_CURVED ? TILE*TARGETS : 0;
    set_step_limit(r.m, poll);
    for (size_t k = 0; k < unknown; k++)
        r.seeds[k] = 0; /* derivatives of outputs do not depend on targets */
    prepare_rows(parameters, samples, r);
    for (size_t first = 0; first < samples; first += TILE) {
        const size_t count = samples - first < TILE ? samples - first : TILE;
        for (size_t output = 0; output < FIT_OUTPUTS; output++) {
            rows_of_output(parameters, inputs, first, count, output, r);
            const real *const from = derivatives_of(output, r);
            real *const to = derivatives + (first*FIT_OUTPUTS + output)*PARAMETERS;
            for (size_t n = 0; n < count; n++)
                for (size_t p = 0; p < PARAMETERS; p++)
                    to[n*FIT_OUTPUTS*PARAMETERS + p] = from[n*OUTPUTS + p*BETWEEN];
        }
        if (stopped(poll, (double) FIT_OUTPUTS*OPERATIONS*(double) count))
            return 1;
    }
    return 0;
}

#endif
