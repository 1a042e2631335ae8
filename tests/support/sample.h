/* The configuration of a model that exists for tests of the runtime alone: three inputs, two outputs, ten parameters. */

#ifndef SAMPLE_H
#define SAMPLE_H

#ifndef NN_BITS
#define NN_BITS 64
#endif
#ifndef SAMPLE_HAS_BLOCKS
#define SAMPLE_HAS_BLOCKS 1
#endif
#ifndef SAMPLE_HAS_MANY
#define SAMPLE_HAS_MANY 1
#endif
#ifndef SAMPLE_HAS_BLAS
#define SAMPLE_HAS_BLAS 1
#endif

#define NN_MODEL sample
#if NN_BITS == 64
#define NN_REAL double
#else
#define NN_REAL float
#endif
#define NN_HAS_MANY SAMPLE_HAS_MANY
#define NN_HAS_BLAS SAMPLE_HAS_BLAS
#include "nncodegen/interface.h"

#define NN_MODEL sample
#define NN_PARAMETERS 10
#define NN_INPUTS 3
#define NN_TARGETS 2
#define NN_OUTPUTS 2
#define NN_PENALIZED {0, 6}, {8, 10}
#define NN_OPERATIONS 60

#define NN_TILE 32
#define NN_ARRAYS 256
#define NN_SUMS 1
#define NN_WHOLE 10
#define NN_ACROSS 0
#define NN_DIRECT 0
#define NN_LONG 96
#define NN_ROWS 1

#define NN_HAS_MANY SAMPLE_HAS_MANY
#define NN_HAS_BLAS SAMPLE_HAS_BLAS
#define NN_HAS_BLOCKS SAMPLE_HAS_BLOCKS
#define NN_HAS_METRICS 1
#define NN_HAS_CLASSES 1
#define NN_HAS_NOISE 1
#define NN_FLUSHES 1

#define NN_MODELS 16
#define NN_GROUP_SAMPLES 8
#define NN_GROUP_VALUES 40
#define NN_GROUP_SUMS 11

#endif
