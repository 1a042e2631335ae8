/* Products of the Hessian of the loss with directions. The last line of NAME_hessian.c includes it.

   Needs kernel.h, and the kernels gradient_tile and gradient_finish of a program whose parameters are those of the
   model, followed by a direction of the same length, and whose gradient has only the first half: it is the product.
   Gives all functions of the Hessian that the header of the model declares; or, with NNCODEGEN_LINKED, multiplied
   (model.h), if these functions are those of the library. */

#ifndef NNCODEGEN_HESSIAN_H
#define NNCODEGEN_HESSIAN_H

#include "nncodegen/base/calls.h"

/* There is no kernel of the loss: it is not needed. */
#undef LOSS_TILE
#define LOSS_TILE NULL

#if defined(NNCODEGEN_LINKED) && !defined(NNCODEGEN_LIBRARY)
#include "nncodegen/base/model.h"
#if NN_HAS_BLOCKS
#include "nncodegen/products/products.h"
#endif

const linked_model NN(multiplied) = {.size = SIZES_OF_MODEL, .gradient = GRADIENT_KERNELS};
#else
#include "nncodegen/train/batch.h"

/* The length of a direction, and its offset. */
#define DIRECTION ((size_t) PARAMETERS/2)

/* Computes the sums over the samples of a batch into m.gradient and m.totals. Returns 1 if stopped. */
static UNUSED int multiply(const batch *b, memory m, NN(poll) *poll)
{
    const size_t whole = GRADIENT_SUMS;
    const size_t chunks = chunks_of(b);
    prepare_batch(b, m);
    for (size_t k = 0; k < GRADIENT_SUMS + ALL_SUMS; k++)
        m.totals[k] = 0;
    for (size_t chunk = 0; chunk < chunks; chunk++) {
        if (sum_chunk(b, m, chunk, poll))
            return 1;
        add_sums(b, m, m.totals);
    }
    for (size_t k = 0; k < whole; k++)
        m.gradient[k] = (real) m.totals[k];
    return 0;
}

size_t NN(hessian_size)(void)
{
    return size_of_work();
}

int NN(hessian_products)(const real *parameters, const real *directions, size_t count, const real *inputs,
    const real *targets, const real *weights, size_t samples, void *work, real *products, NN(poll) *poll)
{
    const memory m = carve(work);
    real *const pair = m.next; /* the parameters, followed by a direction */
    const batch all = {.without_loss = 1, .parameters = pair, .inputs = inputs, .targets = targets,
        .weights = weights, .samples = samples, .total = total_weight(weights, samples)};
    clear(m);
    copy_row(parameters, pair, DIRECTION);
    for (size_t d = 0; d < count; d++) {
        copy_row(directions + d*DIRECTION, pair + DIRECTION, DIRECTION);
        if (multiply(&all, m, poll))
            return 1;
        deriving.finish(pair, m.totals + GRADIENT_SUMS, m.gradient, m.arrays, m.gradient);
        copy_row(m.gradient, products + d*DIRECTION, DIRECTION);
    }
    return 0;
}
#endif

#ifdef NNCODEGEN_APART
#define NN_PART NN_ENTRY_POINTS_FOR_HESSIAN(NN_INITIAL)
#include "nncodegen/base/part.h"
#endif

#endif
