/* The samples of a tile, and how a call is stopped, for Python. */

#include "sample.h"

#include "nncodegen/base/poll.h"
#include "nncodegen/base/samples.h"

/* The vectors along samples, to which a tile is padded. */
size_t padding(void)
{
    return PAD;
}

size_t bytes(void)
{
    return size_of_work();
}

/* Copies what a tile of up to TILE samples is to the arrays, [TILE][width] and [TILE]; what a kernel may not read
   stays as it is. Returns whether the inputs were read where they are. */
size_t make_tile(void *work, const real *inputs, const real *targets, const size_t *order, const real *weights,
    double total, size_t first, size_t count, real *tile_inputs, real *tile_targets, real *tile_weights, size_t *rows)
{
    const memory m = carve(work);
    const tile t = fill(m, inputs, targets, order, weights, total, first, count);
    const size_t padded = (count + PAD - 1)/PAD*PAD;
    memcpy(tile_inputs, t.inputs, count*INPUTS*sizeof(real));
    memcpy(tile_targets, t.targets, count*TARGETS*sizeof(real));
    memcpy(tile_weights, m.weights, padded*sizeof(real));
    memcpy(rows, m.sample_numbers, padded*sizeof(size_t));
    return t.inputs != m.inputs;
}

/* The rows from first on, read in whole vectors: with the last again after them. */
void make_whole_rows(const real *from, const size_t *order, size_t first, size_t count, real *copied)
{
    rows_of(from, INPUTS, order, first, count, 1, copied);
}

/* The same of rows that are sparse. */
void make_sparse_rows(const real *values, const size_t *starts, const uint32_t *columns, const size_t *order,
    size_t first, size_t count, int whole, real *copied)
{
    sparse_rows(values, starts, columns, order, first, count, whole, copied);
}

double weight_of_all(const real *weights, size_t samples)
{
    return total_weight(weights, samples);
}

/* Who is asked: counts the questions, and wants to end at the last. */
typedef struct {
    size_t questions, last;
    int gradual; /* whether subnormal numbers were numbers whenever it was asked */
} listener;

static int ask(void *context)
{
    listener *const l = context;
    volatile real smallest = NN_BITS == 64 ? (real) 2.3e-308 : (real) 1.2e-38f;
    l->questions++;
    l->gradual = l->gradual && smallest/4 > 0;
    return l->questions == l->last;
}

/* Calls of stopped, after some operations each, up to the one that says so. Returns how many were made;
   says how often the caller was asked, and whether it could compute with subnormal numbers. */
size_t poll_calls(size_t calls, double operations, double interval, double asked, size_t last, size_t *questions,
    size_t *gradual)
{
    FLUSH_SUBNORMALS
    listener l = {0, last, 1};
    NN(poll) poll = {.stop = ask, .context = &l, .interval = interval, .asked = asked};
    size_t call = 0;
    while (call < calls) {
        call++;
        if (stopped(&poll, operations))
            break;
    }
    *questions = l.questions;
    *gradual = (size_t) l.gradual;
    return call;
}

/* Nobody is asked where there is nobody. */
size_t poll_nobody(void)
{
    NN(poll) poll = {.stop = NULL};
    return (size_t) (stopped(NULL, 1e9) || stopped(&poll, 1e9));
}

double seconds_now(void)
{
    return seconds();
}
