/* Work memory: the arrays of a call, cut from one block that the caller allocates.

   Needs vectors.h and the header of the model. Gives memory, carve, set_step_limit, set_solved, clear, size_of_work. */

#ifndef NNCODEGEN_MEMORY_H
#define NNCODEGEN_MEMORY_H

#include "nncodegen/base/vectors.h"

/* The length of an array of the parameters or their gradient: a vector that begins at the last value may reach 64
   bytes beyond it. */
#define ROOM ((PARAMETERS > GRADIENT_SUMS ? PARAMETERS : GRADIENT_SUMS) + 64/sizeof(real))

/* The partial sums of lanes, and the values after them that vectors read. */
#define ROOM_FOR_PARTIALS (HAS_BLOCKS ? PARTIALS + 3*SUM_LANES : 3)

/* The arrays: type, name, length. */
#define PARTS_OF_MEMORY(PART) \
    PART(double, sums, ALL_SUMS + 1) \
    PART(double, totals, GRADIENT_SUMS + ALL_SUMS + 1) /* the sums over several chunks */ \
    PART(double, finished, PHASES > 1 ? ALL_SUMS : 0) /* the sums of a phase, for the next */ \
    PART(real, statistics, PHASES > 1 ? PARAMETERS : 0) /* the statistics of a batch, for parameters that follow
                                                              including sums to which each tile adds, or followed by
                                                              them */ \
    PART(real, gradient, ROOM) /* followed by sums, or including sums, to which each tile adds */ \
    PART(real, parameters, ROOM) /* the parameters of a training */ \
    PART(real, next, ROOM) /* the parameters after an update */ \
    PART(real, counts, TILE) /* the weight of each sample in metrics */ \
    PART(real, partials, ROOM_FOR_PARTIALS) \
    PART(real, inputs, TILE*INPUTS + 1) \
    PART(real, targets, TILE*TARGETS + 1) \
    PART(real, weights, TILE) \
    PART(size_t, sample_numbers, HAS_NOISE ? TILE : 0) /* the indices of samples, for noise */ \
    PART(real, outputs, SAMPLES_AT_ONCE*OUTPUTS) /* the outputs of samples that do not fill a vector */ \
    PART(real, arrays, KEPT*ARRAYS + 2) /* the arrays of the kernels for a tile, or for several tiles that are
                                              kept. Where outputs or rows are computed, two numbers follow those of
                                              the first tile: see set_step_limit, set_solved */ \
    PART(double, measures, MEASURES) /* those of an epoch so far, while updates are tried */ \
    PART(double, options, OPTIONS) /* the hyperparameters of an update */

#define PADDED_BYTES(type, count) (((size_t) (count)*sizeof(type) + 63)/64*64)
#define MEMBER_OF_MEMORY(type, name, count) type *name;
#define TAKE(type, name, count) \
    m.name = (type *) next; \
    next += PADDED_BYTES(type, count);
#define PLUS_BYTES(type, name, count) + PADDED_BYTES(type, count)

typedef struct {
    PARTS_OF_MEMORY(MEMBER_OF_MEMORY)
} memory;

/* Returns the arrays in a block of memory, each at a multiple of 64 bytes. */
static UNUSED memory carve(void *work)
{
    char *next = (char *) (((uintptr_t) work + 63)/64*64);
    memory m;
    PARTS_OF_MEMORY(TAKE)
    m.arrays[ARRAYS] = m.arrays[ARRAYS + 1] = 0;
    return m;
}

/* Limits the steps of solutions of differential equations in the calls of kernels that follow: those of outputs and of
   rows read the limit after their arrays; 0 stands for what the model allows. */
static UNUSED void set_step_limit(memory m, const NN(poll) *poll)
{
    m.arrays[ARRAYS] = poll ? (real) poll->max_steps : 0;
}

/* Says whether the kernel of rows has solved the differential equations of the samples of a tile in its last call: then
   the next one goes back through the steps that were taken there, for other seeds. */
static UNUSED void set_solved(memory m, int solved)
{
    m.arrays[ARRAYS + 1] = (real) solved;
}

/* Returns the size of work memory in bytes. */
static UNUSED size_t size_of_work(void)
{
    return 64 PARTS_OF_MEMORY(PLUS_BYTES);
}

/* Sets values to zero that are read before they are written. */
static UNUSED void clear(memory m)
{
    const size_t whole = GRADIENT_SUMS;
    for (size_t k = 0; k < whole; k++)
        m.gradient[k] = 0;
    for (size_t k = 0; k < ROOM_FOR_PARTIALS; k++)
        m.partials[k] = 0;
    /* vectors at the end of the parameters read these, without an effect on results */
    for (size_t k = PARAMETERS; k < ROOM; k++)
        m.parameters[k] = m.next[k] = 0;
}

#endif
