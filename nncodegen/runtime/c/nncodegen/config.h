/* What a model says of itself before it includes kernel.h: each line below is something that it must define. The C of a
   model says what each is for it; the defaults at the end are for what most models are without. */

#ifndef NNCODEGEN_CONFIG_H
#define NNCODEGEN_CONFIG_H

#if !defined(NN_MODEL) || !defined(NN_BITS)
#error "define NN_MODEL, the name of the model, and NN_BITS, 64 or 32, the bits of its numbers"
#endif
#if NN_BITS != 64 && NN_BITS != 32
#error "NN_BITS must be 64 (double) or 32 (float)"
#endif

#if !defined(NN_PARAMETERS) || !defined(NN_INPUTS) || !defined(NN_TARGETS) || !defined(NN_OUTPUTS)
#error "define NN_PARAMETERS, NN_INPUTS, NN_TARGETS and NN_OUTPUTS, the values of each"
#endif
#ifndef NN_TILE
#error "define NN_TILE, the samples that the loops work through at once"
#endif
#ifndef NN_ARRAYS
#error "define NN_ARRAYS, the values of work memory that the kernels need for a tile"
#endif
#ifndef NN_OPERATIONS
#error "define NN_OPERATIONS, the operations for one sample, roughly"
#endif
#if !defined(NN_SUMS) || !defined(NN_GRADIENT_SUMS) || !defined(NN_LANE_SUMS) || !defined(NN_DIRECT)
#error "define NN_SUMS, NN_GRADIENT_SUMS, NN_LANE_SUMS and NN_DIRECT, the sums over samples and where they are kept"
#endif
#ifndef NN_PENALIZED
#error "define NN_PENALIZED, the ranges of the parameters that l1 and l2 are for"
#endif
#if !defined(NN_HAS_MANY) || !defined(NN_HAS_BLAS) || !defined(NN_HAS_BLOCKS)
#error "define NN_HAS_MANY, NN_HAS_BLAS and NN_HAS_BLOCKS, each 0 or 1"
#endif
#if NN_HAS_BLOCKS && !(defined(NN_LONG) && defined(NN_ROWS))
#error "with NN_HAS_BLOCKS, define NN_LONG, the terms of a long sum, and NN_ROWS, the samples that are taken one by one"
#endif

#ifndef NN_STATE
#define NN_STATE 3 /* variables of the optimizers' state for each parameter, at most */
#endif
#ifndef NN_OPTIONS
#define NN_OPTIONS 5 /* hyperparameters of an optimizer, at most */
#endif
#ifndef NN_DESCENT
#define NN_DESCENT 0 /* the number of plain gradient descent among the optimizers */
#endif
#ifndef NN_HAS_NOISE
#define NN_HAS_NOISE 0 /* whether the loops of the gradient draw random numbers */
#endif
#ifndef NN_HAS_METRICS
#define NN_HAS_METRICS 0 /* whether outputs can be compared with targets */
#endif
#ifndef NN_HAS_CLASSES
#define NN_HAS_CLASSES 0 /* whether targets are probabilities of classes */
#endif
#ifndef NN_THRESHOLD
#define NN_THRESHOLD 0.5 /* the output from which on a yes is meant */
#endif
#ifndef NN_HAS_SINGLE_GRADIENT
#define NN_HAS_SINGLE_GRADIENT 0 /* whether there are loops for the gradient of one sample, gradient_row */
#endif
#ifndef NN_HAS_REGISTERS
#define NN_HAS_REGISTERS 0 /* whether there is the text of one update, next_point, for parameters in registers */
#endif
#ifndef NN_HAS_SEQUENTIAL
#define NN_HAS_SEQUENTIAL 0 /* whether there is one for sequential updates as well, update_in_turn */
#endif
#ifndef NN_HAS_TRANSPOSED
#define NN_HAS_TRANSPOSED 0 /* whether weights lie transposed while they are trained: NN_TRANSPOSED */
#endif
#ifndef NN_DESCENDS
#define NN_DESCENDS 0 /* the samples of a batch up to which plain descent changes the parameters where they are */
#endif
#if NN_HAS_SINGLE_GRADIENT && NN_DESCENDS > 1 && NN_ROWS > 1
#error "of samples that are taken one by one, the second must not see what the first has changed: NN_DESCENDS must be 1"
#endif
#ifndef NN_FINISHED
#define NN_FINISHED {0, 0} /* the ranges of the gradient that gradient_finish makes of sums elsewhere */
#endif
#ifndef NN_FLUSHES
#define NN_FLUSHES 0 /* whether subnormal numbers count as zero in a training */
#endif
#ifndef NN_ROWS_AT_ONCE
#define NN_ROWS_AT_ONCE 0 /* the rows that the loops of predictions must be given at once; 0: any number */
#endif
#ifndef NN_WHOLE_INPUTS
#define NN_WHOLE_INPUTS 0 /* whether vectors along the samples are read from the rows of the inputs */
#endif
#ifndef NN_WHOLE_TARGETS
#define NN_WHOLE_TARGETS 0 /* the same of the targets */
#endif
#ifndef NN_PREPARES_PREDICT
#define NN_PREPARES_PREDICT 0 /* whether predictions have a part for the parameters alone, predict_prepare */
#endif
#ifndef NN_PREPARES_LOSS
#define NN_PREPARES_LOSS 0
#endif
#ifndef NN_PREPARES_GRADIENT
#define NN_PREPARES_GRADIENT 0
#endif

#endif
