/* The parameters that are treated differently from others in training.

   Needs base.h. Gives model_ranges, a structure of them, and special, that of the model. */

#ifndef NNCODEGEN_RANGES_H
#define NNCODEGEN_RANGES_H

#include "nncodegen/base/base.h"

/* Parameters first <= p < end. */
typedef struct {
    size_t first, end;
} index_range;

/* Parameters that follow statistics of the batches, and the fraction of their values that stays. */
typedef struct {
    size_t first, end;
    double momentum;
} followed_range;

/* A matrix of parameters, stored by rows. */
typedef struct {
    size_t first, rows, columns;
} stored_matrix;

typedef struct {
    const index_range *penalized; /* to which the penalties l1 and l2 apply */
    const index_range *frozen; /* which no update changes */
    const index_range *finished; /* whose gradient is not added in place, but computed by gradient_finish */
    const followed_range *following;
    const stored_matrix *transposed; /* in the loops of the gradient; elsewhere they are stored by rows */
    size_t penalized_count, frozen_count, finished_count, following_count, transposed_count;
} model_ranges;

#ifdef NNCODEGEN_LIBRARY
#define special MODEL.special_ranges
#else
static const index_range penalized[] = {NN_PENALIZED}, frozen[] = {NN_FROZEN}, finished[] = {NN_FINISHED};
static const followed_range following[] = {NN_FOLLOWING};
static const stored_matrix transposed[] = {NN_TRANSPOSED};

#define RANGES_OF_MODEL { \
    penalized, frozen, finished, following, transposed, sizeof penalized/sizeof *penalized, \
    sizeof frozen/sizeof *frozen, sizeof finished/sizeof *finished, \
    PHASES > 1 ? sizeof following/sizeof *following : 0, \
    NN_HAS_TRANSPOSED ? sizeof transposed/sizeof *transposed : 0}

static UNUSED const model_ranges special = RANGES_OF_MODEL;
#endif

#endif
