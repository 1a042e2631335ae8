/* The configuration of a model that exists for tests of the runtime alone: three inputs, two outputs, ten parameters. Its
   loops stand in sample_kernels.h. A test may choose what the model has by defining SAMPLE_HAS_X as 0 or 1 before. */

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
#ifndef SAMPLE_HAS_METRICS
#define SAMPLE_HAS_METRICS 1
#endif
#ifndef SAMPLE_HAS_CLASSES
#define SAMPLE_HAS_CLASSES 1
#endif
#ifndef SAMPLE_HAS_NOISE
#define SAMPLE_HAS_NOISE 1
#endif
#ifndef SAMPLE_HAS_SINGLE_GRADIENT
#define SAMPLE_HAS_SINGLE_GRADIENT 1
#endif
#ifndef SAMPLE_HAS_TRANSPOSED
#define SAMPLE_HAS_TRANSPOSED 0
#endif
#ifndef SAMPLE_HAS_REGISTERS
#define SAMPLE_HAS_REGISTERS 0 /* with neither noise nor transposed weights */
#endif
#ifndef SAMPLE_DESCENDS
#define SAMPLE_DESCENDS 32
#endif
#ifndef SAMPLE_SINGLE_SAMPLES
#define SAMPLE_SINGLE_SAMPLES 1 /* more where SAMPLE_DESCENDS is 1 */
#endif
#ifndef SAMPLE_OPERATIONS
#define SAMPLE_OPERATIONS 60 /* of one sample: from a million of them on, somebody is asked whether to end */
#endif
#ifndef SAMPLE_ACROSS
#define SAMPLE_ACROSS 0 /* weights whose sums are those of lanes: for tests of products, which need no kernels */
#endif
#ifndef SAMPLE_DIRECT
#define SAMPLE_DIRECT 0
#endif

#define NN_MODEL(name) sample_##name
#if NN_BITS == 64
#define NN_REAL double
#else
#define NN_REAL float
#endif
#define NN_HAS_MANY SAMPLE_HAS_MANY
#define NN_HAS_BLAS SAMPLE_HAS_BLAS
#include "nncodegen/interface.h"

#define NN_MODEL(name) sample_##name
#define NN_PARAMETERS 10
#define NN_INPUTS 3
#define NN_TARGETS 2
#define NN_OUTPUTS 2
#define NN_PENALIZED {0, 6}, {8, 10}
#define NN_OPERATIONS SAMPLE_OPERATIONS

/* The derivatives by weights and biases are summed up where the gradient is, the loss and those by scales in double. */
#define NN_TILE 32
#define NN_ARRAYS 256
#define NN_SUMS SAMPLE_ACROSS + 3
#define NN_GRADIENT_SUMS 8
#define NN_LANE_SUMS SAMPLE_ACROSS
#define NN_DIRECT SAMPLE_DIRECT
#define NN_FINISHED {8, 10}
#define NN_LONG 96
#define NN_SINGLE_SAMPLES SAMPLE_SINGLE_SAMPLES
#define NN_DESCENDS SAMPLE_DESCENDS

#define NN_HAS_MANY SAMPLE_HAS_MANY
#define NN_HAS_BLAS SAMPLE_HAS_BLAS
#define NN_HAS_BLOCKS SAMPLE_HAS_BLOCKS
#define NN_HAS_METRICS SAMPLE_HAS_METRICS
#define NN_HAS_CLASSES SAMPLE_HAS_CLASSES
#define NN_HAS_NOISE SAMPLE_HAS_NOISE
#define NN_HAS_SINGLE_GRADIENT SAMPLE_HAS_SINGLE_GRADIENT
#define NN_HAS_TRANSPOSED SAMPLE_HAS_TRANSPOSED
#define NN_TRANSPOSED {0, 2, 3}
#define NN_HAS_REGISTERS SAMPLE_HAS_REGISTERS
#define NN_HAS_SEQUENTIAL SAMPLE_HAS_REGISTERS
#define NN_FLUSHES 1

#define NN_MODELS 16
#define NN_GROUP_SAMPLES 8
#define NN_GROUP_VALUES 40
#define NN_GROUP_SUMS 11

#define NN_FITS (512/NN_BITS)
#define NN_FIT_OUTPUTS 2
#define NN_FITS_VALUES 1

#endif
