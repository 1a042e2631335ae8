/* The metrics of the runtime, for Python: of up to TILE samples, sums[0] of what is met, sums[1] of absolute errors,
   and behind them squares of errors for each output. */

#include "sample.h"

#include "nncodegen/metrics.h"

void add_classes(size_t metrics, size_t count, const real *outputs, size_t row, size_t column, const real *targets,
    const real *counts, double *sums)
{
    measure_classes((int) metrics, count, outputs, row, column, targets, TARGETS, 1, counts, sums);
}

void add_errors(size_t metrics, size_t count, size_t columns, size_t number, const real *outputs, size_t row,
    size_t column, const real *targets, const real *counts, double *sums)
{
    measure_errors((int) metrics, count, columns, number, outputs, row, column, targets, TARGETS, 1, counts, sums);
}
