/* Everything that the kernels of a model may call. The C of a model includes this before its kernels, and training.h
   after them.

   Needs the header of the model and its configuration (config.h). Gives what the headers below give. */

#ifndef NNCODEGEN_KERNEL_H
#define NNCODEGEN_KERNEL_H

#include "nncodegen/base/base.h"
#include "nncodegen/base/calls.h"
#include "nncodegen/math/functions.h"
#include "nncodegen/math/library.h"
#include "nncodegen/math/random.h"
#include "nncodegen/base/vectors.h"

#if NN_HAS_BLOCKS
#include "nncodegen/products/products.h"
#if NN_TILE == 1
#include "nncodegen/products/matrices.h"
#endif
#include "nncodegen/products/rows.h"
#endif
#if NN_HAS_WINDOWS
#include "nncodegen/products/windows.h"
#endif
#if NN_HAS_PATHS
#include "nncodegen/solve/solve.h"
#include "nncodegen/solve/rosenbrock.h"
#include "nncodegen/solve/solve_reverse.h"
#endif
#if NN_HAS_BLAS
#include "nncodegen/products/blas.h"
#endif
#if NN_HAS_METRICS
#include "nncodegen/train/metrics.h"
#endif
#ifdef NN_MODELS
#include "nncodegen/products/group.h"
#if NN_HAS_BLOCKS
#include "nncodegen/products/group_products.h"
#endif
#endif
#if NN_HAS_GROUP_ROWS
#include "nncodegen/fit/fits_lanes.h"
#endif

/* Kernels have the same arguments in every model, and need not use all arguments. */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-variable"

#endif
