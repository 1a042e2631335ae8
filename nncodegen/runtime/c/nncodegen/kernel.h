/* What the kernels of a model need, after its configuration: include this before them, and training.h behind them. */

#ifndef NNCODEGEN_KERNEL_H
#define NNCODEGEN_KERNEL_H

#include "base.h"
#include "functions.h"
#include "library.h"
#include "random.h"
#include "vectors.h"

#if NN_HAS_BLOCKS
#include "products.h"
#include "rows.h"
#endif
#if NN_HAS_BLAS
#include "blas.h"
#endif
#if NN_HAS_METRICS
#include "metrics.h"
#endif
#if NN_HAS_MANY
#include "group.h"
#endif

/* The functions of a kernel are given all that any kernel may need. */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-variable"

#endif
