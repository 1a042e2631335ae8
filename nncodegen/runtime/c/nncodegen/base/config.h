/* The configuration of a model: the macros that its C defines before it includes kernel.h. The macros in the first
   part must be defined, or the compiler stops with a message that says what is missing; those in the second have
   defaults. */

#ifndef NNCODEGEN_CONFIG_H
#define NNCODEGEN_CONFIG_H

#if !defined(NN_MODEL) || !defined(NN_BITS)
#error "define NN_MODEL(name), which puts the name of the model before another, and NN_BITS, 64 or 32, the bits of its numbers"
#endif
#if NN_BITS != 64 && NN_BITS != 32
#error "NN_BITS must be 64 (double) or 32 (float)"
#endif

#ifndef NN_SAME_BITS
#define NN_SAME_BITS 0 /* whether the bits of results must not depend on the CPU and the compiler: same_bits.h */
#endif

#if !defined(NN_PARAMETERS) || !defined(NN_INPUTS) || !defined(NN_TARGETS) || !defined(NN_OUTPUTS)
#error "define NN_PARAMETERS, NN_INPUTS, NN_TARGETS and NN_OUTPUTS, how many values each has"
#endif
#ifndef NN_TILE
#error "define NN_TILE, the samples of a tile, through which the loops work at once"
#endif
/* The number of samples of a chunk: tiles of about 4 kB for each value of a sample (batch.h). */
#define NN_CHUNK (32768/NN_BITS > NN_TILE ? 32768/NN_BITS/NN_TILE*NN_TILE : NN_TILE)
#ifndef NN_OPERATIONS
#error "define NN_OPERATIONS, the operations for one sample, roughly"
#endif
#ifndef NN_HAS_BLOCKS
#define NN_HAS_BLOCKS 0 /* whether any loop runs in blocks or vectors */
#endif
#ifndef NN_HAS_PADDING
#define NN_HAS_PADDING NN_HAS_BLOCKS /* whether tiles are padded to whole vectors of samples */
#endif
#if NN_HAS_BLOCKS && !(defined(NN_LONG) && defined(NN_SINGLE_SAMPLES))
#error "with NN_HAS_BLOCKS, define NN_LONG and NN_SINGLE_SAMPLES"
#endif
#ifndef NN_SINGLE_SAMPLES
#define NN_SINGLE_SAMPLES 0
#endif

/* NN_LONG is the number of terms above which a sum of products is processed in parts. NN_SINGLE_SAMPLES is the largest
   number of samples for which the gradient of a batch is computed sample by sample. */

#ifndef NN_ARRAYS
#define NN_ARRAYS 0 /* the number of values in the arrays of the kernels for a tile */
#endif

/* Where sums over the samples are kept: NN_SUMS sums are in double, including the loss. The first NN_LANE_SUMS of these
   have a partial sum in each lane of a vector; the lanes are added at the end of a chunk of tiles or, if NN_DIRECT, of
   each tile. NN_GRADIENT_SUMS other sums are in the gradient, or after it, where each tile adds to them. */
#ifndef NN_SUMS
#define NN_SUMS 0
#endif
#ifndef NN_LANE_SUMS
#define NN_LANE_SUMS 0
#endif
#ifndef NN_DIRECT
#define NN_DIRECT 0
#endif
#ifndef NN_GRADIENT_SUMS
#define NN_GRADIENT_SUMS 0
#endif

#ifndef NN_PENALIZED
#define NN_PENALIZED {0, 0} /* the ranges {first, end} of the parameters to which l1 and l2 apply */
#endif
#ifndef NN_FROZEN
#define NN_FROZEN {0, 0} /* the ranges {first, end} of the parameters that no update changes */
#endif
/* For statistics over all samples of a batch: NN_PHASES is the number of passes of the gradient over the samples,
   NN_KEPT the number of tiles whose arrays are kept from one phase to the next, and NN_FOLLOWING lists the parameters
   {first, end, momentum} that follow such statistics. */
#ifndef NN_PHASES
#define NN_PHASES 1
#endif
#ifndef NN_KEPT
#define NN_KEPT 1
#endif
#ifndef NN_FOLLOWING
#define NN_FOLLOWING {0, 0, 0}
#endif
#ifndef NN_HAS_MANY
#define NN_HAS_MANY 0 /* whether the table of all functions has those for many models */
#endif
#ifndef NN_HAS_BLAS
#define NN_HAS_BLAS 0 /* whether products may be computed by BLAS */
#endif
#ifndef NN_STATE
#define NN_STATE 3 /* the most values of state that an optimizer keeps for each parameter */
#endif
#ifndef NN_OPTIONS
#define NN_OPTIONS 5 /* the most hyperparameters of an optimizer */
#endif
#ifndef NN_DESCENT
#define NN_DESCENT 0 /* the number of the optimizer that is plain gradient descent */
#endif
#ifndef NN_HAS_NOISE
#define NN_HAS_NOISE 0 /* whether the gradient draws random numbers, as for dropout */
#endif
#ifndef NN_HAS_METRICS
#define NN_HAS_METRICS 0 /* whether outputs can be compared with targets */
#endif
#ifndef NN_HAS_CLASSES
#define NN_HAS_CLASSES 0 /* whether targets are probabilities of classes */
#endif
#ifndef NN_THRESHOLD
#define NN_THRESHOLD 0.5 /* the output above which a sample counts as positive */
#endif
#ifndef NN_TILES_ONLY
#define NN_TILES_ONLY 0 /* whether single samples have no separate kernel, as with windows and recurrences */
#endif
#ifndef NN_HAS_WINDOWS
#define NN_HAS_WINDOWS NN_TILES_ONLY /* whether tiles have sums over lists of positions */
#endif
#ifndef NN_HAS_PATHS
#define NN_HAS_PATHS 0 /* whether differential equations are solved in steps that are chosen at run time */
#endif
#ifndef NN_HAS_SINGLE_GRADIENT
#define NN_HAS_SINGLE_GRADIENT 0 /* whether gradient_sample, the gradient of one sample, exists */
#endif
#ifndef NN_HAS_REGISTERS
#define NN_HAS_REGISTERS 0 /* whether next_point, an update with all parameters in registers, exists */
#endif
#ifndef NN_HAS_SEQUENTIAL
#define NN_HAS_SEQUENTIAL 0 /* whether update_sequentially, its sequential form, exists */
#endif
#ifndef NN_HAS_TRANSPOSED
#define NN_HAS_TRANSPOSED 0 /* whether NN_TRANSPOSED lists weights that are transposed in training */
#endif
#ifndef NN_TRANSPOSED
#define NN_TRANSPOSED {0, 0, 0}
#endif
#ifndef NN_DESCENDS
#define NN_DESCENDS 0 /* the largest batch for which plain gradient descent changes parameters in place */
#endif
#if NN_HAS_SINGLE_GRADIENT && NN_DESCENDS > 1 && NN_SINGLE_SAMPLES > 1
#error "where batches are taken sample by sample, an update in place must be of one sample: NN_DESCENDS must be 1"
#endif
#ifndef NN_HAS_GROUP_ROWS
#define NN_HAS_GROUP_ROWS 0 /* whether group_rows, the rows of many fits side by side, exists */
#endif
#ifndef NN_HAS_FIT
#define NN_HAS_FIT 0 /* whether the table of all functions has those for fits; likewise, many fits and the Hessian */
#endif
#ifndef NN_HAS_FITS
#define NN_HAS_FITS 0
#endif
#ifndef NN_HAS_HESSIAN
#define NN_HAS_HESSIAN 0
#endif
#ifndef NN_HAS_FIELDS
#define NN_HAS_FIELDS 0
#endif
#ifndef NN_HAS_STEP
#define NN_HAS_STEP 0
#endif
#ifndef NN_FIT_OUTPUTS
#define NN_FIT_OUTPUTS 0 /* the outputs that are fitted */
#endif
#ifndef NN_FIT_CURVED
#define NN_FIT_CURVED 0 /* whether the loss of a fit is no sum of squares, so that rows hold its curvature: convex.h */
#endif
#ifndef NN_FIT_BLOCK
#define NN_FIT_BLOCK NN_FIT_OUTPUTS /* if curved: how many outputs have second derivatives with each other: convex.h */
#endif
#ifndef NN_FIT_APART
#define NN_FIT_APART 0 /* the blocks of a sample that missing targets leave out one by one; 0: the sample is left out */
#endif
#ifndef NN_FIT_NOISE
#define NN_FIT_NOISE 0 /* whether the scale of each target is a formula, whose logarithm is one of the outputs: convex.h */
#endif
#ifndef NN_FIT_FORWARD
#define NN_FIT_FORWARD 0 /* whether a row of a fit holds the derivatives of all outputs, which need no seeds then */
#endif
#ifndef NN_FIT_GUARDS
#define NN_FIT_GUARDS 0 /* the number of values in each row whose signs a fit keeps: guards.h */
#endif
#ifndef NN_FIT_INPUT_GUARDS
#define NN_FIT_INPUT_GUARDS 0 /* how many of these, the last ones, depend on changes of inputs alone */
#endif
#ifndef NN_CHANGES
#define NN_CHANGES 0 /* the number of the last parameters that are changes of the inputs, for fits with errors in these */
#endif
/* Of fits: the most rows that are folded into a triangle at once; the distance between columns of rows, which is an odd
   number of cache lines, so that columns do not compete for the same places in the cache; that between the rows of a
   triangle. */
#define NN_FOLDED_ROWS (NN_TILE < 64 ? 64 : NN_TILE)
#define NN_ROWS_OF_SAMPLE (NN_CHANGES > 0 ? NN_FIT_OUTPUTS : 0) /* those that changes of inputs leave: errors_in_x.h */
#define NN_LEAST_COLUMN (NN_PARAMETERS > NN_ROWS_OF_SAMPLE ? NN_PARAMETERS : NN_ROWS_OF_SAMPLE)
#define NN_COLUMN (((NN_FOLDED_ROWS > NN_LEAST_COLUMN ? NN_FOLDED_ROWS : NN_LEAST_COLUMN) + 7)/8*8 | 8)
#define NN_TRIANGLE_ROW ((NN_PARAMETERS + 8)/8*8)
#ifndef NN_FINISHED
#define NN_FINISHED {0, 0} /* the ranges of the gradient that gradient_finish computes from the sums */
#endif
#ifndef NN_FLUSHES
#define NN_FLUSHES 0 /* whether subnormal numbers count as zero in training */
#endif
#ifndef NN_SAMPLES_AT_ONCE
#define NN_SAMPLES_AT_ONCE 0 /* predict_tile takes multiples of this number of samples; 0: any number */
#endif
#ifndef NN_WHOLE_INPUTS
#define NN_WHOLE_INPUTS 0 /* whether the inputs are read in vectors of samples, so that a tile is padded */
#endif
#ifndef NN_WHOLE_TARGETS
#define NN_WHOLE_TARGETS 0 /* whether the targets are read in vectors of samples */
#endif
#ifndef NN_PREPARES_PREDICT
#define NN_PREPARES_PREDICT 0 /* whether predict_prepare computes what depends only on parameters */
#endif
#ifndef NN_PREPARES_JACOBIAN
#define NN_PREPARES_JACOBIAN 0
#endif
#ifndef NN_PREPARES_LOSS
#define NN_PREPARES_LOSS 0
#endif
#ifndef NN_PREPARES_GRADIENT
#define NN_PREPARES_GRADIENT 0
#endif

#endif
