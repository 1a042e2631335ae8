/* Everything that the kernels of a formula without a loss may call. The C of such a formula includes this before its
   kernels, and values.h after them.

   Needs a configuration (config.h). Gives what the headers below give, and WHOLE_VECTORS. */

#ifndef NNCODEGEN_FORMULA_H
#define NNCODEGEN_FORMULA_H

#include "nncodegen/base/base.h"
#include "nncodegen/math/functions.h"
#include "nncodegen/math/library.h"

/* The numbers of the longest vectors. */
enum { WHOLE = 64/sizeof(real) };

/* Tells the compiler that the points of a tile fill vectors, so that it makes no second loop for those that remain. */
#define WHOLE_VECTORS(count) \
    if ((count) > TILE || (count)%WHOLE) \
        __builtin_unreachable()

/* Kernels have the same arguments in every formula, and need not use all of them. */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-variable"

#endif
