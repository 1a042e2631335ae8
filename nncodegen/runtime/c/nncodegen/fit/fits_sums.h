/* The sums over the samples of many fits, side by side: the normal equations and the cost.

   Needs fits_errors.h, fits_lanes.h, and the kernel group_rows. Gives sum_up. */

#ifndef NNCODEGEN_FITS_SUMS_H
#define NNCODEGEN_FITS_SUMS_H

#include "nncodegen/fit/fits_errors.h"
#include "nncodegen/fit/fits_lanes.h"

enum {
    ROWS_AT_ONCE = NN_FIT_FORWARD ? 1 : 16, /* samples whose rows stay in the first-level cache until they are added */
    SAMPLES_IN_SINGLE = 4*ROWS_AT_ONCE, /* the most samples that are summed in single precision */
    ROWS_VALUES = ROWS_AT_ONCE*OBSERVED*ROW*FITS
};

/* The number of columns of a block of sums: this leaves registers for two factors. */
enum { EDGE = BLOCK_ROWS == 8 ? (COLUMNS <= 6 ? COLUMNS : 4) : COLUMNS <= 4 ? COLUMNS : 3 };

/* Computes the rows of some samples: derivatives, followed by residuals. It is compiled once, because a fit must have
   the same bits in every place. */
static HOT void rows_of_samples(const real *restrict parameters, const real *restrict inputs,
    const real *restrict targets, const real *restrict seeds, size_t count, real *restrict values, real *restrict rows)
{
#if NN_FIT_FORWARD
    real *restrict const swept = values + (NN_FITS_VALUES + LIMITED)*FITS;
    for (size_t n = 0; n < count; n++) {
        group_rows(parameters, inputs + n*INPUTS*FITS, NULL, values, swept);
        for (size_t k = 0; k < OBSERVED; k++) {
            real *restrict const row = rows + (n*OBSERVED + k)*ROW*FITS;
            for (size_t p = 0; p < PARAMETERS; p++)
                memcpy(row + p*FITS, swept + (OBSERVED + p*OBSERVED + k)*FITS, FITS*sizeof(real));
            FITS_LOOP
            for (size_t lane = 0; lane < FITS; lane++)
                row[PARAMETERS*FITS + lane] = swept[k*FITS + lane] - targets[(n*OBSERVED + k)*FITS + lane];
        }
    }
#else
    for (size_t n = 0; n < count; n++) {
        for (size_t k = 0; k < OBSERVED; k++) {
            real *restrict const row = rows + (n*OBSERVED + k)*ROW*FITS;
            group_rows(parameters, inputs + n*INPUTS*FITS, OBSERVED > 1 ? seeds + k*OBSERVED*FITS : NULL, values, row);
            FITS_LOOP
            for (size_t lane = 0; lane < FITS; lane++)
                row[(BEFORE + PARAMETERS)*FITS + lane] = row[k*FITS + lane]
                    - targets[(n*OBSERVED + k)*FITS + lane];
        }
    }
#endif
}

#if NN_FIT_GUARDS > 0
/* Finds which guards are above 0 in all samples so far, and then which are below: words with all bits set. Samples with
   missing values do not count. */
static HOT void look_at_guards(const real *restrict rows, const real *restrict weights, size_t count,
    word *restrict signs)
{
    for (size_t place = 0; place < GUARDED*FITS; place += LANES) {
        const size_t guard = place/FITS, lane = place%FITS;
        words above = get_words(signs + place), below = get_words(signs + GUARDED*FITS + place);
        for (size_t n = 0; n < count; n++) {
            const vector value = get(rows + n*OBSERVED*ROW*FITS + lane, OBSERVED + guard), zero = {0};
            words missing = {0};
            if (weights) {
                missing = ~missing;
                for (size_t k = 0; k < OBSERVED; k++)
                    missing &= (words) (get(weights + lane, n*OBSERVED + k) == zero);
            }
            above &= (words) (value > zero) | missing;
            below &= (words) (value < zero) | missing;
        }
        *words_at(signs + place) = above;
        *words_at(signs + GUARDED*FITS + place) = below;
    }
}
#endif

/* Multiplies rows by their weights. Missing values have the weight 0, which removes their rows, even if not finite. */
static HOT void weigh_rows(const real *restrict weights, size_t count, real *restrict rows)
{
    for (size_t n = 0; n < count; n++) {
        for (size_t c = 0; c < COLUMNS; c++) {
            real *const values = rows + (n*ROW + BEFORE + c)*FITS;
            FITS_LOOP
            for (size_t lane = 0; lane < FITS; lane++) {
                const real weight = weights[n*FITS + lane];
                values[lane] = weight > 0 ? values[lane]*weight : 0;
            }
        }
    }
}

/* Computes the sums of the products of some columns with some others: a block of the triangle. For a block on the
   diagonal, entries above the diagonal are left out. */
INLINE void add_block(size_t height, size_t width, size_t first, size_t second, const real *restrict rows,
    size_t count, int more, real *restrict sums)
{
    const int diagonal = first == second;
    vector s[EDGE][EDGE];
    FEW_ROUNDS
    for (size_t i = 0; i < height; i++) {
        FEW_ROUNDS
        for (size_t j = 0; j < EDGE; j++)
            if (j < width && (!diagonal || j <= i))
                s[i][j] = more ? get(sums, place_of(first + i, second + j)) : (vector) {0};
    }
    for (size_t n = 0; n < count; n++) {
        const real *const row = rows + (n*ROW + BEFORE)*FITS;
        FEW_ROUNDS
        for (size_t i = 0; i < height; i++) {
            const vector a = get(row, first + i);
            FEW_ROUNDS
            for (size_t j = 0; j < EDGE; j++)
                if (j < width && (!diagonal || j <= i))
                    ADD_PRODUCT(s[i][j], a, get(row, second + j));
        }
    }
    FEW_ROUNDS
    for (size_t i = 0; i < height; i++) {
        FEW_ROUNDS
        for (size_t j = 0; j < EDGE; j++)
            if (j < width && (!diagonal || j <= i))
                *at(sums, place_of(first + i, second + j)) = s[i][j];
    }
}

/* Computes the sums of the products of all columns; with more, adds them to the present sums. */
static HOT void sum_products(const real *restrict rows, size_t count, int more, real *restrict sums)
{
    enum { WHOLE = COLUMNS/EDGE*EDGE, REST = COLUMNS%EDGE };
    for (size_t lane = 0; lane < FITS; lane += LANES) {
        for (size_t i = 0; i < WHOLE; i += EDGE) {
            for (size_t j = 0; j < i; j += EDGE)
                add_block(EDGE, EDGE, i, j, rows + lane, count, more, sums + lane);
            add_block(EDGE, EDGE, i, i, rows + lane, count, more, sums + lane);
        }
        if (REST) {
            for (size_t j = 0; j < WHOLE; j += EDGE)
                add_block(REST, EDGE, WHOLE, j, rows + lane, count, more, sums + lane);
            add_block(REST, REST, WHOLE, WHOLE, rows + lane, count, more, sums + lane);
        }
    }
}

/* Computes the sums over samples, whose values lie as [sample][column][FITS]; weights may be NULL. Beyond some samples,
   sums of single precision are added in double. signs receives those of the guards, if there are any. */
static UNUSED void sum_up(const real *parameters, const real *inputs, const real *targets, const real *weights,
    const real *seeds, size_t samples, real *values, real *rows, word *signs, double *totals, real *sums,
    fits_errors *errors)
{
#if NN_CHANGES > 0
    memset(errors->cost, 0, FITS*sizeof *errors->cost);
    memset(sums + COST_PLACE*FITS, 0, FITS*sizeof *sums);
    memset(errors->next_fall, 0, FITS*sizeof *errors->next_fall);
    errors->samples = samples;
#else
    (void) errors;
#endif
    const size_t in_real = NN_BITS == 32 ? SAMPLES_IN_SINGLE : SIZE_MAX;
#if NN_FIT_GUARDS > 0
    memset(signs, 255, SIGNS*FITS*sizeof *signs);
#else
    (void) signs;
#endif
    for (size_t n = 0; n < samples; n += ROWS_AT_ONCE) {
        const size_t count = samples - n < ROWS_AT_ONCE ? samples - n : ROWS_AT_ONCE, end = n + count;
        const size_t place = n*OBSERVED*FITS;
#if NN_CHANGES > 0
        move_lanes(errors, inputs, n, count);
        rows_of_samples(parameters, errors->moved, targets + place, seeds, count, values, rows);
#else
        rows_of_samples(parameters, inputs + n*INPUTS*FITS, targets + place, seeds, count, values, rows);
#endif
#if NN_FIT_GUARDS > 0
        look_at_guards(rows, weights ? weights + place : NULL, count, signs);
#endif
        if (weights)
            weigh_rows(weights + place, count*OBSERVED, rows);
#if NN_CHANGES > 0
        leave_lanes(errors, n, count, rows);
#endif
        sum_products(rows, count*OBSERVED, n%in_real > 0, sums);
        if (end%in_real != 0 && end != samples)
            continue;
#if NN_CHANGES > 0
        memcpy(sums + COST_PLACE*FITS, errors->cost, FITS*sizeof *sums); /* rows do not have all of it */
        memset(errors->cost, 0, FITS*sizeof *errors->cost);
#endif
        if (samples > in_real) {
            for (size_t k = 0; k < SYSTEM*FITS; k++)
                totals[k] = (n < in_real ? 0 : totals[k]) + (double) sums[k];
        }
    }
    if (samples > in_real) {
        for (size_t k = 0; k < SYSTEM*FITS; k++)
            sums[k] = (real) totals[k];
    }
}

#endif
