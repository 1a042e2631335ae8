/* Functions that return facts about a model.

   Needs memory.h. Gives variant, use, operations_per_sample, work_size, state_size, measures_size,
   first_not_finite. */

#ifndef NNCODEGEN_FACTS_H
#define NNCODEGEN_FACTS_H

#include "nncodegen/base/memory.h"

const char *NN(variant)(void)
{
    return VARIANT;
}

int NN(use)(const char *variant)
{
    return strcmp(variant, NN(variant)()) == 0; /* a kernel that is compiled once has no other variant */
}

size_t NN(operations_per_sample)(void)
{
    return OPERATIONS;
}

size_t NN(work_size)(void)
{
    return size_of_work();
}

size_t NN(state_size)(void)
{
    return (size_t) STATE*PARAMETERS;
}

size_t NN(measures_size)(void)
{
    return MEASURES;
}

size_t NN(first_not_finite)(const real *values, size_t count)
{
    if (all_finite(values, count))
        return count;
    const size_t step = 1024;
    size_t k = 0;
    while (k + step <= count && all_finite(values + k, step))
        k += step;
    while (k < count && isfinite(values[k]))
        k++;
    return k;
}

#endif
