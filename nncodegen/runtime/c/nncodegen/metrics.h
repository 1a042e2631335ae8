/* Metrics of a tile: accuracy, absolute errors, squares of errors.

   Needs base.h and the header of the model. Gives measure_classes and measure_errors. */

#ifndef NNCODEGEN_METRICS_H
#define NNCODEGEN_METRICS_H

#include "base.h"

/* The sums from which metrics are computed: of correct targets, of absolute errors, and, for each output, of squared
   errors. The weight of a sample is in counts. A tile is summed up in the precision of the model, like losses. In an
   array, row is the distance between samples, and column that between columns; both are constants in inlined calls,
   so that compilers can vectorize over samples or over columns. */
enum { WANTS_ACCURACY = 1 << NN(ACCURACY), WANTS_ABSOLUTE = 1 << NN(MEAN_ABSOLUTE_ERROR), WANTS_R2 = 1 << NN(R2) };

/* Finds the largest value of each sample, and its column: the first one, if there are several. */
INLINE void find_largest(size_t count, const real *restrict values, size_t row,
    size_t column, real *restrict largest, real *restrict found)
{
    for (size_t n = 0; n < count; n++) {
        largest[n] = values[n*row];
        found[n] = 0;
    }
    for (size_t k = 1; k < OUTPUTS; k++) {
        for (size_t n = 0; n < count; n++) {
            const real value = values[n*row + k*column];
            found[n] = value > largest[n] ? (real) k : found[n];
            largest[n] = value > largest[n] ? value : largest[n];
        }
    }
}

/* Adds up the samples whose largest output is in the same column as the largest target. */
INLINE void measure_classes(int metrics, size_t count,
    const real *restrict outputs, size_t row, size_t column, const real *restrict targets, size_t target_row,
    size_t target_column, const real *restrict counts, double *restrict sums)
{
    if (!(metrics & WANTS_ACCURACY))
        return;
    real largest[TILE], found[TILE], meant[TILE], met = 0;
    find_largest(count, outputs, row, column, largest, found);
    find_largest(count, targets, target_row, target_column, largest, meant);
    SUM_LOOP(met)
    for (size_t n = 0; n < count; n++)
        met += found[n] == meant[n] ? counts[n] : 0;
    sums[NN(ACCURACY)] += (double) met;
}

/* Adds up, for some columns, the outputs on the same side of the threshold as their targets, absolute errors, and
   squares of errors. number is the index of the first of these columns. */
INLINE void measure_errors(int metrics, size_t count, size_t columns,
    size_t number, const real *restrict outputs, size_t row, size_t column, const real *restrict targets,
    size_t target_row, size_t target_column, const real *restrict counts, double *restrict sums)
{
    if (!HAS_CLASSES && metrics & WANTS_ACCURACY) {
        for (size_t k = 0; k < columns; k++) {
            real met = 0;
            SUM_LOOP(met)
            for (size_t n = 0; n < count; n++) {
                const int high = outputs[n*row + k*column] > (real) NN_THRESHOLD;
                met += high == (targets[n*target_row + k*target_column] > (real) 0.5) ? counts[n] : 0;
            }
            sums[NN(ACCURACY)] += (double) met;
        }
    }
    if (metrics & WANTS_ABSOLUTE) {
        for (size_t k = 0; k < columns; k++) {
            real distance = 0;
            SUM_LOOP(distance)
            for (size_t n = 0; n < count; n++)
                distance += counts[n]*absolute(outputs[n*row + k*column] - targets[n*target_row + k*target_column]);
            sums[NN(MEAN_ABSOLUTE_ERROR)] += (double) distance;
        }
    }
    if (metrics & WANTS_R2) {
        for (size_t k = 0; k < columns; k++) {
            real squares = 0;
            SUM_LOOP(squares)
            for (size_t n = 0; n < count; n++) {
                const real error = outputs[n*row + k*column] - targets[n*target_row + k*target_column];
                squares += counts[n]*error*error;
            }
            sums[NN(R2) + number + k] += (double) squares;
        }
    }
}

#endif
