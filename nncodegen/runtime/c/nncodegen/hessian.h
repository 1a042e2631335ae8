/* Products of the Hessian of the loss with directions. The last line of NAME_hessian.c includes it.

   Needs kernel.h, and the kernel jacobian_tile of a program whose parameters are those of the model, then a direction of
   as many values, and whose outputs sum up, over the samples, to the product. Gives all functions of the Hessian that
   the header of the model declares. */

#ifndef NNCODEGEN_HESSIAN_H
#define NNCODEGEN_HESSIAN_H

#include "poll.h"
#include "samples.h"

/* The parts of work memory besides those of memory.h: the parameters with a direction, the rows of a tile, their sum. */
typedef struct {
    memory m;
    real *point;
    real *rows;
    double *sums;
} product_memory;

static UNUSED product_memory carve_product(void *work)
{
    char *const point = (char *) work + size_of_work();
    char *const rows = point + PADDED_BYTES(real, PARAMETERS);
    char *const sums = rows + PADDED_BYTES(real, (size_t) TILE*OUTPUTS);
    return (product_memory) {carve(work), (real *) point, (real *) rows, (double *) sums};
}

/* The product with the direction behind the parameters, into the sums. Returns 1 if stopped. */
static UNUSED int multiply(const real *inputs, const real *targets, const real *weights, size_t samples,
    product_memory p, NN(poll) *poll)
{
    const double total = total_weight(weights, samples);
#if NN_PREPARES_JACOBIAN
    jacobian_prepare(p.point, samples, p.m.arrays);
#endif
    for (size_t k = 0; k < OUTPUTS; k++)
        p.sums[k] = 0;
    for (size_t first = 0; first < samples; first += TILE) {
        const size_t count = samples - first < TILE ? samples - first : TILE;
        const tile now = fill(p.m, inputs, targets, NULL, weights, total, first, count);
        jacobian_tile(p.point, now.inputs, now.targets, p.m.weights, count, p.m.arrays, p.rows);
        for (size_t n = 0; n < count; n++)
            for (size_t k = 0; k < OUTPUTS; k++)
                p.sums[k] += (double) p.rows[n*OUTPUTS + k];
        if (stopped(poll, (double) OPERATIONS_PER_SAMPLE*(double) count))
            return 1;
    }
    return 0;
}

size_t NN(hessian_size)(void)
{
    return size_of_work() + PADDED_BYTES(real, PARAMETERS) + PADDED_BYTES(real, (size_t) TILE*OUTPUTS)
        + PADDED_BYTES(double, OUTPUTS) + 64;
}

int NN(hessian_products)(const real *parameters, const real *directions, size_t count, const real *inputs,
    const real *targets, const real *weights, size_t samples, void *work, real *products, NN(poll) *poll)
{
    const product_memory p = carve_product(work);
    copy_row(parameters, p.point, OUTPUTS);
    for (size_t d = 0; d < count; d++) {
        copy_row(directions + d*OUTPUTS, p.point + OUTPUTS, OUTPUTS);
        if (multiply(inputs, targets, weights, samples, p, poll))
            return 1;
        for (size_t k = 0; k < OUTPUTS; k++)
            products[d*OUTPUTS + k] = (real) p.sums[k];
    }
    return 0;
}

#endif
