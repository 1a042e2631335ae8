/* Errors in the inputs of many fits, side by side: the changes of inputs are unknowns of each sample.

   Needs fits_lanes.h, and NN_CHANGES, the number of the last parameters that are changes of the inputs. Gives
   fits_errors, and if NN_CHANGES move_lanes, leave_lanes, place_lanes, keep_none, take_lanes.

   As in errors_in_x.h, for one output and squares of residuals, without damping of changes: a row J s + r with slopes G
   by the changes u becomes (J s + r - G u)/sqrt(1 + G G'), and the best changes after a step s are
   -G' (J s + r - G u)/(1 + G G'). A fit for which this is not enough ends without success, and is made again by
   itself. */

#ifndef NNCODEGEN_FITS_ERRORS_H
#define NNCODEGEN_FITS_ERRORS_H

#include "nncodegen/fit/fits_lanes.h"

#if NN_CHANGES > 0

#if NN_FIT_OUTPUTS != 1
#error "fits side by side with errors in their inputs have one output"
#endif

enum {
    CHANGES = NN_CHANGES,
    OTHERS = PARAMETERS - CHANGES, /* the parameters that are fitted */
    KEPT_ROW = 2 + CHANGES + OTHERS /* what is kept of a sample: r - G u, 1 + G G', G and J */
};

/* Arrays of [sample][value][FITS]. */
typedef struct {
    real *sigma; /* the standard deviations of the inputs */
    real *changes; /* u at the next points, in units of sigma */
    real *rows, *next_rows; /* at the current points and at the next ones */
    real *moved; /* the inputs of some samples, changed */
    real *cost; /* [FITS]: the sum of squares at the next points, changes included */
    real *fall, *next_fall; /* [FITS]: how much changes alone would lower it */
    size_t samples; /* the number of samples that the present fits have */
} fits_errors;

/* Computes the inputs of some samples from the first on, changed. */
static HOT void move_lanes(const fits_errors *e, const real *restrict inputs, size_t first, size_t count)
{
    const real *const sigma = e->sigma + first*CHANGES*FITS, *const changes = e->changes + first*CHANGES*FITS;
    real *restrict const moved = e->moved;
    for (size_t k = 0; k < count*CHANGES*FITS; k++)
        moved[k] = inputs[first*CHANGES*FITS + k] + changes[k]*sigma[k];
}

/* Returns the square roots of lanes. */
INLINE vector roots_of(vector squares)
{
    FEW_ROUNDS
    for (size_t k = 0; k < LANES; k++)
        squares[k] = (real) sqrt((double) squares[k]);
    return squares;
}

/* Eliminates the changes of inputs from weighted rows, keeps what the next changes follow from, and adds to the sums of
   squares. */
static HOT void leave_lanes(const fits_errors *e, size_t first, size_t count, real *restrict rows)
{
    for (size_t lane = 0; lane < FITS; lane += LANES) {
        vector cost = get(e->cost + lane, 0), falls = get(e->next_fall + lane, 0);
        for (size_t n = 0; n < count; n++) {
            real *const row = rows + (n*ROW + BEFORE)*FITS + lane;
            real *const kept = e->next_rows + (first + n)*KEPT_ROW*FITS + lane;
            const real *const sigma = e->sigma + (first + n)*CHANGES*FITS + lane;
            const real *const changes = e->changes + (first + n)*CHANGES*FITS + lane;
            vector side = get(row, PARAMETERS), whole = (vector) {0} + 1, along = {0};
            cost += side*side;
            FEW_ROUNDS
            for (size_t i = 0; i < CHANGES; i++) {
                const vector slope = get(row, OTHERS + i)*get(sigma, i), change = get(changes, i);
                *at(row, OTHERS + i) = (vector) {0};
                *at(kept, 2 + i) = slope;
                whole += slope*slope;
                side -= slope*change;
                cost += change*change;
            }
            const vector part = side/whole, factor = 1/roots_of(whole);
            *at(kept, 0) = side;
            *at(kept, 1) = whole;
            FEW_ROUNDS
            for (size_t i = 0; i < CHANGES; i++) {
                const vector slope = get(kept, 2 + i), move = -slope*part - get(changes, i);
                along += slope*move;
                falls += move*move;
            }
            falls += along*along;
            FEW_ROUNDS
            for (size_t p = 0; p < OTHERS; p++) {
                const vector value = get(row, p);
                *at(kept, 2 + CHANGES + p) = value;
                *at(row, p) = value*factor;
            }
            *at(row, PARAMETERS) = side*factor;
        }
        *at(e->cost + lane, 0) = cost;
        *at(e->next_fall + lane, 0) = falls;
    }
}

/* Computes the changes after the steps of the parameters. */
static HOT void place_lanes(const fits_errors *e, const real *restrict step, size_t lane)
{
    for (size_t n = 0; n < e->samples; n++) {
        const real *const kept = e->rows + n*KEPT_ROW*FITS + lane;
        vector side = get(kept, 0);
        FEW_ROUNDS
        for (size_t p = 0; p < OTHERS; p++)
            side += get(kept, 2 + CHANGES + p)*get(step + lane, p);
        const vector part = side/get(kept, 1);
        FEW_ROUNDS
        for (size_t i = 0; i < CHANGES; i++)
            *at(e->changes + n*CHANGES*FITS + lane, i) = -get(kept, 2 + i)*part;
    }
}

/* Keeps rows of 0 in a lane for the samples that its fit does not have: other fits beside it may have them. */
static UNUSED void keep_none(const fits_errors *e, size_t first, size_t samples, size_t lane)
{
    for (size_t k = first*KEPT_ROW; k < samples*KEPT_ROW; k++)
        e->rows[k*FITS + lane] = k%KEPT_ROW == 1; /* 1 + G G' */
}

/* Makes what is known at the next points that of the current ones, in accepted lanes. */
static HOT void take_lanes(const fits_errors *e, size_t lane, words accepted)
{
    for (size_t k = 0; k < e->samples*KEPT_ROW; k++)
        *at(e->rows + lane, k) = where(accepted, get(e->next_rows + lane, k), get(e->rows + lane, k));
    *at(e->fall + lane, 0) = where(accepted, get(e->next_fall + lane, 0), get(e->fall + lane, 0));
}

#else
typedef struct {
    char none;
} fits_errors;
#endif

#endif
