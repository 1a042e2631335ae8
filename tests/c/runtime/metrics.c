/* The metrics of the runtime, for Python: sums[0] of what is met, sums[1] of absolute errors,
   and after them squares of errors for each output. */

#include "sample.h"

#include "nncodegen/train/metrics.h"

void add_columns(size_t metrics, size_t count, size_t columns, size_t number, const real *outputs, size_t row,
    size_t column, const real *targets, size_t target_row, size_t target_column, const real *counts, double *sums)
{
    measure((int) metrics, count, columns, number, outputs, row, column, targets, target_row, target_column, counts,
        sums);
}
