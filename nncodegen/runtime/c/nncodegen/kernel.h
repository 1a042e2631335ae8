/* Everything that the kernels of a model may call. The C of a model includes this before its kernels, and training.h
   after them.

   Needs the header of the model and its configuration (config.h). Gives what the headers below give. */

#ifndef NNCODEGEN_KERNEL_H
#define NNCODEGEN_KERNEL_H

#include "base.h"
#include "calls.h"
#include "functions.h"
#include "library.h"
#include "random.h"
#include "vectors.h"

#if NN_HAS_BLOCKS
#include "products.h"
#if NN_TILE == 1
#include "matrices.h"
#endif
#include "rows.h"
#endif
#if NN_HAS_WINDOWS
#include "windows.h"
#endif
#if NN_HAS_PATHS
#include "solve.h"
#include "rosenbrock.h"
#include "solve_lanes.h"
#include "rosenbrock_lanes.h"
#include "solve_reverse.h"
#endif
#if NN_HAS_BLAS
#include "blas.h"
#endif
#if NN_HAS_METRICS
#include "metrics.h"
#endif
#ifdef NN_MODELS
#include "group.h"
#if NN_HAS_BLOCKS
#include "group_products.h"
#endif
#endif
#if NN_HAS_GROUP_ROWS
#include "fits_lanes.h"
#endif

/* Kernels have the same arguments in every model, and need not use all arguments. */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-variable"

#endif
