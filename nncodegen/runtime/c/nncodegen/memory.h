/* Work memory: what a call computes with, in one piece that the caller gives.

   Needs vectors.h. Gives memory, carve, clear, work_size. */

#ifndef NNCODEGEN_MEMORY_H
#define NNCODEGEN_MEMORY_H

#include "vectors.h"

/* Values for a gradient, or parameters, with the sums of the gradient, and what the longest vector at the end of a row
   has behind them. */
enum { ROOM = (PARAMETERS > GRADIENT_SUMS ? PARAMETERS : GRADIENT_SUMS) + 64/sizeof(real) };

/* Sums of lanes, and what is read behind them. */
enum { ROOM_FOR_LANES = NN_HAS_BLOCKS ? PARTIALS + 3*LANES : 3 };

/* The parts of it: type, name, number of values. The sums of the gradient, which a tile adds up itself, lie where the
   gradient has them, or behind it. */
#define PARTS_OF_MEMORY(PART) \
    PART(double, sums, ALL_SUMS + 1) \
    PART(double, totals, GRADIENT_SUMS + ALL_SUMS + 1) /* of several chunks */ \
    PART(real, gradient, ROOM) \
    PART(real, parameters, ROOM) /* of a training */ \
    PART(real, next, ROOM) /* the parameters after an update */ \
    PART(real, counts, TILE) /* of the samples of a tile, for metrics */ \
    PART(real, partials, ROOM_FOR_LANES) \
    PART(real, inputs, TILE*INPUTS + 1) \
    PART(real, targets, TILE*TARGETS + 1) \
    PART(real, weights, TILE) \
    PART(size_t, rows, NN_HAS_NOISE ? TILE : 0) /* their numbers, for noise */ \
    PART(real, outputs, NN_ROWS_AT_ONCE*OUTPUTS) /* of rows that fill no vector */ \
    PART(real, arrays, ARRAYS + 1) /* of the kernels */

#define PADDED_BYTES(type, count) (((count)*sizeof(type) + 63)/64*64)
#define MEMBER_OF_MEMORY(type, name, count) type *name;
#define TAKE(type, name, count) \
    m.name = (type *) next; \
    next += PADDED_BYTES(type, count);
#define PLUS_BYTES(type, name, count) + PADDED_BYTES(type, count)

typedef struct {
    PARTS_OF_MEMORY(MEMBER_OF_MEMORY)
} memory;

static UNUSED memory carve(void *work)
{
    char *next = (char *) (((uintptr_t) work + 63)/64*64);
    memory m;
    PARTS_OF_MEMORY(TAKE)
    return m;
}

size_t NN(work_size)(void)
{
    return 64 PARTS_OF_MEMORY(PLUS_BYTES);
}

static UNUSED void clear(memory m)
{
    const size_t whole = GRADIENT_SUMS;
    for (size_t k = 0; k < whole; k++)
        m.gradient[k] = 0;
    for (size_t k = 0; k < ROOM_FOR_LANES; k++)
        m.partials[k] = 0;
    /* what vectors at the end of all parameters read behind them, and nothing hangs on */
    for (size_t k = PARAMETERS; k < ROOM; k++)
        m.parameters[k] = m.next[k] = 0;
}

#endif
