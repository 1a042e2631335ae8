/* The sizes of a model, and what it has.

   In the C of a model they are constants. The library (library.c), which is compiled once for all models, finds them in
   a structure that each model brings. What needs constants to be fast is part of the model instead: its kernels,
   training in registers, models and fits in the lanes of vectors.

   Needs a configuration (config.h); with NNCODEGEN_LIBRARY, MODEL, the name of a model (model.h). Gives a name for each
   size, MEASURES, ALL_SUMS, and model_sizes, a structure of them, with SIZES_OF_MODEL as its initial value. */

#ifndef NNCODEGEN_SIZES_H
#define NNCODEGEN_SIZES_H

#include <stddef.h>

#ifndef NNCODEGEN_LIBRARY
#include "nncodegen/base/config.h"
#endif

#define NN_SIZES(SIZE) \
    SIZE(PARAMETERS) SIZE(INPUTS) SIZE(TARGETS) SIZE(OUTPUTS) SIZE(OPERATIONS) \
    SIZE(TILE) SIZE(CHUNK) SIZE(ARRAYS) SIZE(SUMS) SIZE(GRADIENT_SUMS) SIZE(LANE_SUMS) SIZE(DIRECT) SIZE(PHASES) \
    SIZE(KEPT) SIZE(STATE) SIZE(OPTIONS) SIZE(DESCENDS) SIZE(DESCENT) SIZE(SINGLE_SAMPLES) SIZE(SAMPLES_AT_ONCE) \
    SIZE(WHOLE_INPUTS) SIZE(WHOLE_TARGETS) SIZE(TILES_ONLY) SIZE(FLUSHES) \
    SIZE(HAS_BLOCKS) SIZE(HAS_PADDING) SIZE(HAS_WINDOWS) SIZE(HAS_METRICS) SIZE(HAS_CLASSES) SIZE(HAS_NOISE) \
    SIZE(FIT_OUTPUTS) SIZE(FIT_CURVED) SIZE(FIT_BLOCK) SIZE(FIT_APART) SIZE(FIT_NOISE) \
    SIZE(FIT_FORWARD) SIZE(FIT_GUARDS) SIZE(FOLDED_ROWS) SIZE(COLUMN) SIZE(TRIANGLE_ROW)

#define MEMBER_OF_SIZES(name) size_t name;
typedef struct {
    NN_SIZES(MEMBER_OF_SIZES)
} model_sizes;

#ifdef NNCODEGEN_LIBRARY
#define PARAMETERS MODEL.size.PARAMETERS
#define INPUTS MODEL.size.INPUTS
#define TARGETS MODEL.size.TARGETS
#define OUTPUTS MODEL.size.OUTPUTS
#define OPERATIONS MODEL.size.OPERATIONS
#define TILE MODEL.size.TILE
#define CHUNK MODEL.size.CHUNK
#define ARRAYS MODEL.size.ARRAYS
#define SUMS MODEL.size.SUMS
#define GRADIENT_SUMS MODEL.size.GRADIENT_SUMS
#define LANE_SUMS MODEL.size.LANE_SUMS
#define DIRECT MODEL.size.DIRECT
#define PHASES MODEL.size.PHASES
#define KEPT MODEL.size.KEPT
#define STATE MODEL.size.STATE
#define OPTIONS MODEL.size.OPTIONS
#define DESCENDS MODEL.size.DESCENDS
#define DESCENT MODEL.size.DESCENT
#define SINGLE_SAMPLES MODEL.size.SINGLE_SAMPLES
#define SAMPLES_AT_ONCE MODEL.size.SAMPLES_AT_ONCE
#define WHOLE_INPUTS MODEL.size.WHOLE_INPUTS
#define WHOLE_TARGETS MODEL.size.WHOLE_TARGETS
#define TILES_ONLY MODEL.size.TILES_ONLY
#define FLUSHES MODEL.size.FLUSHES
#define HAS_BLOCKS MODEL.size.HAS_BLOCKS
#define HAS_PADDING MODEL.size.HAS_PADDING
#define HAS_WINDOWS MODEL.size.HAS_WINDOWS
#define HAS_METRICS MODEL.size.HAS_METRICS
#define HAS_CLASSES MODEL.size.HAS_CLASSES
#define HAS_NOISE MODEL.size.HAS_NOISE
#define FIT_OUTPUTS MODEL.size.FIT_OUTPUTS
#define FIT_CURVED MODEL.size.FIT_CURVED
#define FIT_BLOCK MODEL.size.FIT_BLOCK
#define FIT_APART MODEL.size.FIT_APART
#define FIT_NOISE MODEL.size.FIT_NOISE
#define FIT_FORWARD MODEL.size.FIT_FORWARD
#define FIT_GUARDS MODEL.size.FIT_GUARDS
#define FOLDED_ROWS MODEL.size.FOLDED_ROWS
#define COLUMN MODEL.size.COLUMN
#define TRIANGLE_ROW MODEL.size.TRIANGLE_ROW
#else
#define CONSTANT(name) name = NN_##name,
enum { NN_SIZES(CONSTANT) };
#endif

#define INITIAL_SIZE(name) .name = name,
#define SIZES_OF_MODEL { NN_SIZES(INITIAL_SIZE) }

#define MEASURES (HAS_METRICS ? 2 + TARGETS : 0) /* the number of sums for metrics, which follow the others */
#define ALL_SUMS (SUMS + MEASURES)

#endif
