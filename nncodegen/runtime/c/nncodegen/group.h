/* Many models at once: a group of them side by side, in whole vectors.

   Needs base.h, and NN_MODELS, the models of a group, NN_GROUP_SAMPLES, the samples of each that its gradient
   takes at once, NN_GROUP_VALUES and NN_GROUP_SUMS, the values and sums of a model that it needs. Gives MODELS,
   MODELS_LOOP and, without blocks, side_by_side. */

#ifndef NNCODEGEN_GROUP_H
#define NNCODEGEN_GROUP_H

#include "base.h"

#if !defined(NN_MODELS) || !defined(NN_GROUP_SAMPLES) || !defined(NN_GROUP_VALUES) || !defined(NN_GROUP_SUMS)
#error "with NN_HAS_MANY, define NN_MODELS, NN_GROUP_SAMPLES, NN_GROUP_VALUES and NN_GROUP_SUMS"
#endif
#if NN_TILE%NN_GROUP_SAMPLES != 0
#error "sums over a tile must be sums over whole tiles of a group: NN_GROUP_SAMPLES must divide NN_TILE"
#endif
#ifndef NN_GROUP_FINISHES
#define NN_GROUP_FINISHES 0 /* whether something is left to do when all samples are summed up, group_finish */
#endif
#ifndef NN_GROUP_GRADIENT_APART
#define NN_GROUP_GRADIENT_APART 0 /* whether the gradient has memory of its own, not behind the loss among the sums */
#endif
#ifndef NN_GROUP_DESCENDS
#define NN_GROUP_DESCENDS 0 /* whether there is an update by one sample that keeps no gradient, group_descend */
#endif

enum { MODELS = NN_MODELS, GROUP_TILE = NN_GROUP_SAMPLES, VALUES = NN_GROUP_VALUES, GROUP_SUMS = NN_GROUP_SUMS };

/* A loop over the models of a group, which do not depend on each other. */
#if defined(NNCODEGEN_SIMD) && !defined(__clang__)
#define MODELS_LOOP PRAGMA(omp simd)
#else
#define MODELS_LOOP
#endif

#if !NN_HAS_BLOCKS
/* A row of each model, side by side; group_products.h has one for wide rows. */
INLINE void side_by_side(const real *const *rows, size_t width, real *to)
{
    for (size_t m = 0; m < MODELS; m++)
        for (size_t c = 0; c < width; c++)
            to[c*MODELS + m] = rows[m][c];
}
#endif

#endif
