/* Everything that the kernels of a formula without a loss may call. The C of such a formula includes this before its
   kernels, and values.h after them.

   Needs a configuration (config.h). Gives what the headers below give, BLENDED and WHOLE_VECTORS. */

#ifndef NNCODEGEN_FORMULA_H
#define NNCODEGEN_FORMULA_H

#include "nncodegen/base/base.h"
#include "nncodegen/math/functions.h"
#include "nncodegen/math/library.h"

/* The numbers of the longest vectors. */
enum { WHOLE = 64/sizeof(real) };

/* A function whose loops compute all branches of a choice, and select. GCC would move a call of the C library to the
   branch that reads its value, and then find no vectors: the functions of the C library have no version for a part of a
   vector (exp, sqrt*log and cos/x by ranges of x, 2^20 points, AVX-512: 15.8 ms instead of 2.3). */
#if defined(__GNUC__) && !defined(__clang__)
#define BLENDED __attribute__((optimize("no-tree-sink")))
#else
#define BLENDED
#endif

/* Tells the compiler that the points of a tile fill vectors, so that it makes no second loop for those that remain. */
#define WHOLE_VECTORS(count) \
    if ((count) > TILE || (count)%WHOLE) \
        __builtin_unreachable()

/* Kernels have the same arguments in every formula, and need not use all of them. */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-variable"

#endif
