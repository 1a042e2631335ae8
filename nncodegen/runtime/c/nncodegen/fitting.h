/* Builds the fits of a model from the kernels of its rows. The last line of NAME_fitting.c includes it.

   Needs kernel.h, the kernel jacobian_tile, and if NN_HAS_GROUP_ROWS group_rows. Gives all functions of fits that the
   header of the model declares. */

#ifndef NNCODEGEN_FITTING_H
#define NNCODEGEN_FITTING_H

#include "fit.h"
#include "jacobian.h"
#if NN_HAS_GROUP_ROWS
#include "fits.h"
#endif

#endif
