/* Groups of models: one model in each lane of whole vectors.

   Needs base.h, transpose.h if loops run in blocks, and NN_MODELS, the number of models in a group, NN_GROUP_SAMPLES,
   the number of samples for which the gradient is computed at once, NN_GROUP_VALUES, the number of values in memory that
   this takes for each model, and NN_GROUP_SUMS, the number of sums over samples. The library (library.c) is compiled for
   groups of as many models as there are numbers in NNCODEGEN_GROUPS bytes, and finds the other sizes in the structure of
   a model. Gives MODELS, MODELS_LOOP, names for these sizes, and side_by_side. */

#ifndef NNCODEGEN_GROUP_H
#define NNCODEGEN_GROUP_H

#include "nncodegen/base/base.h"
#if NN_HAS_BLOCKS
#include "nncodegen/products/transpose.h"
#endif

#ifdef NNCODEGEN_LIBRARY
enum { MODELS = NNCODEGEN_GROUPS/sizeof(real) };
#define GROUP_TILE MODEL.group.samples
#define VALUES MODEL.group.values
#define GROUP_SUMS MODEL.group.sums
#else
#if !defined(NN_MODELS) || !defined(NN_GROUP_SAMPLES) || !defined(NN_GROUP_VALUES) || !defined(NN_GROUP_SUMS)
#error "for a group of models, define NN_MODELS, NN_GROUP_SAMPLES, NN_GROUP_VALUES and NN_GROUP_SUMS"
#endif
#if NN_TILE%NN_GROUP_SAMPLES != 0
#error "sums over a tile must be sums over whole tiles of a group: NN_GROUP_SAMPLES must divide NN_TILE"
#endif
#ifndef NN_GROUP_FINISHES
#define NN_GROUP_FINISHES 0 /* whether group_finish exists, which computes values from the finished sums */
#endif
#ifndef NN_GROUP_GRADIENT_APART
#define NN_GROUP_GRADIENT_APART 0 /* whether the gradient has a separate array; else it lies among the sums */
#endif
#ifndef NN_GROUP_DESCENDS
#define NN_GROUP_DESCENDS 0 /* whether group_descend exists, an update by one sample without a gradient in memory */
#endif

enum { MODELS = NN_MODELS, GROUP_TILE = NN_GROUP_SAMPLES, VALUES = NN_GROUP_VALUES, GROUP_SUMS = NN_GROUP_SUMS };
#endif

/* Before a loop over the models of a group: its iterations do not depend on each other. */
#define MODELS_LOOP LANES_LOOP

#if NN_HAS_BLOCKS
/* Copies a row of each model, so that the values of a column are side by side: parts of the rows are first copied one
   after the other, and then transposed in squares. */
INLINE void side_by_side(const real *const *rows, size_t width, real *restrict to)
{
    enum { PART = 32 };
    real copied[MODELS*PART];
    for (size_t first = 0; first < width; first += PART) {
        const size_t count = width - first < PART ? width - first : PART;
        for (size_t m = 0; m < MODELS; m++)
            for (size_t c = 0; c < count; c++)
                copied[m*count + c] = rows[m][first + c];
        transpose(count, MODELS, copied, count, to + first*MODELS, MODELS, MODELS);
    }
}
#elif !defined(NNCODEGEN_LIBRARY)
/* Copies a row of each model, so that the values of a column are side by side. */
static HOT void side_by_side(const real *const *rows, size_t width, real *to)
{
    for (size_t m = 0; m < MODELS; m++)
        for (size_t c = 0; c < width; c++)
            to[c*MODELS + m] = rows[m][c];
}
#endif

#endif
