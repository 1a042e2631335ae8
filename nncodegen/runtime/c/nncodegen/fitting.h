/* Builds the fits of a model from the kernels of its rows. The last line of NAME_fitting.c includes it.

   Needs kernel.h, the kernel jacobian_tile, and if NN_HAS_GROUP_ROWS group_rows. Gives all functions of fits that
   the header of the model declares; or, with NNCODEGEN_LINKED, fitted (model.h), and those that the library does not
   have. */

#ifndef NNCODEGEN_FITTING_H
#define NNCODEGEN_FITTING_H

#ifdef NNCODEGEN_LINKED
#include "nncodegen/base/model.h"

const linked_model NN(fitted) = {.size = SIZES_OF_MODEL, .rows = ROW_KERNELS};
#else
#include "nncodegen/fit/fit.h"
#include "nncodegen/fit/fit_groups.h"
#include "nncodegen/fit/jacobian.h"
#endif
#if NN_HAS_GROUP_ROWS
#include "nncodegen/fit/fits.h"
#endif

#ifdef NNCODEGEN_APART
#if NN_HAS_GROUP_ROWS
#define NN_PART NN_ENTRY_POINTS_FOR_FIT(NN_INITIAL) NN_ENTRY_POINTS_FOR_FITS(NN_INITIAL)
#else
#define NN_PART NN_ENTRY_POINTS_FOR_FIT(NN_INITIAL)
#endif
#include "nncodegen/base/part.h"
#endif

#endif
