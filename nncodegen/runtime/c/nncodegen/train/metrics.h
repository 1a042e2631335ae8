/* Metrics of a tile: accuracy, absolute errors, squares of errors.

   Needs calls.h and the header of the model. Gives measure, which is a function of the library, and measure_one, for
   one sample. */

#ifndef NNCODEGEN_METRICS_H
#define NNCODEGEN_METRICS_H

#include "nncodegen/base/calls.h"

/* The sums from which metrics are computed: of correct targets, of absolute errors, and, for each output, of squared
   errors. The weight of a sample is in counts. In an array, row is the distance between samples, and column that
   between columns. */
enum {
    WANTS_ACCURACY = 1 << NN(ACCURACY),
    WANTS_ABSOLUTE = 1 << NN(MEAN_ABSOLUTE_ERROR),
    WANTS_R2 = 1 << NN(R2),
    MEASURED = 64 /* the number of samples that are measured at once, and summed up in the precision of the model */
};

/* Returns some values of a column, copied if they do not lie side by side. */
INLINE const real *values_in_a_row(size_t count, const real *values, size_t row, real *copy)
{
    if (row == 1)
        return values;
    for (size_t n = 0; n < count; n++)
        copy[n] = values[n*row];
    return copy;
}

/* Updates the largest value of each sample, and its column, by column k. Of equal values, the first one counts. */
INLINE void find_largest(size_t count, size_t k, const real *values, real *largest, real *found)
{
    for (size_t n = 0; n < count; n++) {
        found[n] = k == 0 || values[n] > largest[n] ? (real) k : found[n];
        largest[n] = k == 0 || values[n] > largest[n] ? values[n] : largest[n];
    }
}

/* Adds up, for some columns of up to MEASURED samples, the samples whose largest output is in the same column as the
   largest target, or the outputs on the same side of the threshold as their targets; absolute errors, and squares of
   errors. number is the index of the first of these columns. */
INLINE void measure_some(int metrics, size_t count, size_t columns, size_t number, const real *outputs, size_t row,
    size_t column, const real *targets, size_t target_row, size_t target_column, const real *counts, double *sums)
{
    real output_copy[MEASURED], target_copy[MEASURED];
    real output[MEASURED], found[MEASURED], target[MEASURED], meant[MEASURED]; /* the largest, and where */
    for (size_t n = 0; n < count; n++)
        output[n] = found[n] = target[n] = meant[n] = 0;
    for (size_t k = 0; k < columns; k++) {
        const real *const y = values_in_a_row(count, outputs + k*column, row, output_copy);
        const real *const t = values_in_a_row(count, targets + k*target_column, target_row, target_copy);
        real met = 0, distance = 0, squares = 0;
        if (metrics & WANTS_ACCURACY && HAS_CLASSES) {
            find_largest(count, k, y, output, found);
            find_largest(count, k, t, target, meant);
        } else if (metrics & WANTS_ACCURACY) {
            SUM_LOOP(met)
            for (size_t n = 0; n < count; n++) {
                const int high = y[n] > (real) NN_THRESHOLD;
                met += high == (t[n] > (real) 0.5) ? counts[n] : 0;
            }
            sums[NN(ACCURACY)] += (double) met;
        }
        if (metrics & WANTS_ABSOLUTE) {
            SUM_LOOP(distance)
            for (size_t n = 0; n < count; n++)
                distance += counts[n]*absolute(y[n] - t[n]);
            sums[NN(MEAN_ABSOLUTE_ERROR)] += (double) distance;
        }
        if (metrics & WANTS_R2) {
            SUM_LOOP(squares)
            for (size_t n = 0; n < count; n++) {
                const real error = y[n] - t[n];
                squares += counts[n]*error*error;
            }
            sums[NN(R2) + number + k] += (double) squares;
        }
    }
    if (metrics & WANTS_ACCURACY && HAS_CLASSES) {
        real met = 0;
        SUM_LOOP(met)
        for (size_t n = 0; n < count; n++)
            met += found[n] == meant[n] ? counts[n] : 0;
        sums[NN(ACCURACY)] += (double) met;
    }
}

/* Adds the metrics of one sample, as measure_some does. Of the loops there, compilers make vectors before they see that
   there is one sample: these were a quarter of the code of training in registers. */
INLINE void measure_one(int metrics, size_t columns, size_t number, const real *outputs, size_t column,
    const real *targets, size_t target_column, real count, double *sums)
{
    size_t found = 0, meant = 0; /* the columns of the largest values */
    for (size_t k = 0; k < columns; k++) {
        const real output = outputs[k*column], target = targets[k*target_column], error = output - target;
        if (metrics & WANTS_ACCURACY && HAS_CLASSES) {
            found = output > outputs[found*column] ? k : found;
            meant = target > targets[meant*target_column] ? k : meant;
        } else if (metrics & WANTS_ACCURACY) {
            const int high = output > (real) NN_THRESHOLD;
            if (high == (target > (real) 0.5))
                sums[NN(ACCURACY)] += (double) count;
        }
        if (metrics & WANTS_ABSOLUTE)
            sums[NN(MEAN_ABSOLUTE_ERROR)] += (double) (count*absolute(error));
        if (metrics & WANTS_R2)
            sums[NN(R2) + number + k] += (double) (count*error*error);
    }
    if (metrics & WANTS_ACCURACY && HAS_CLASSES && found == meant)
        sums[NN(ACCURACY)] += (double) count;
}

/* Adds up the metrics of some columns of a tile. */
#define measure NN(measure)
SHARED void measure(int metrics, size_t count, size_t columns, size_t number, const real *outputs, size_t row,
    size_t column, const real *targets, size_t target_row, size_t target_column, const real *counts, double *sums);

#if !defined(NNCODEGEN_LINKED) || defined(NNCODEGEN_LIBRARY)
SHARED HOT void measure(int metrics, size_t count, size_t columns, size_t number, const real *outputs, size_t row,
    size_t column, const real *targets, size_t target_row, size_t target_column, const real *counts, double *sums)
{
    if (count == 1) { /* for which loops over samples would begin and end in vain */
        measure_one(metrics, columns, number, outputs, column, targets, target_column, counts[0], sums);
        return;
    }
    for (size_t n = 0; n < count; n += MEASURED)
        measure_some(metrics, count - n < MEASURED ? count - n : MEASURED, columns, number, outputs + n*row, row,
            column, targets + n*target_row, target_row, target_column, counts + n, sums);
}
#endif

#endif
