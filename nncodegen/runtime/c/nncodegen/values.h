/* The table of a formula, and its value as functions that SciPy calls.

   Needs formula.h, and the kernels values_tile and values_of_point. Gives nncodegen_formula, or the table of a
   variant if the library has several (base/variants.h), and in it the functions of scipy.LowLevelCallable: of one
   number, of several, and of the numbers around a point of an image. */

#ifndef NNCODEGEN_VALUES_H
#define NNCODEGEN_VALUES_H

#include "nncodegen/base/formula_table.h"

static void of_tile(const void *const *inputs, void *const *outputs, size_t count, void *work)
{
    values_tile((const real *const *) inputs, (real *const *) outputs, count, (real *) work);
}

static void of_point(const void *inputs, void *outputs)
{
    values_of_point((const real *) inputs, (real *) outputs);
}

#ifdef NNCODEGEN_VARIANT
#define TABLE NN_OF_VARIANT(NNCODEGEN_VARIANT, formula)
extern const nncodegen_values TABLE;
#else
#define TABLE nncodegen_formula
extern __attribute__((visibility("default"))) const nncodegen_values TABLE;
#endif

const nncodegen_values TABLE = {NN_BITS, INPUTS, OUTPUTS, TILE, WHOLE, ARRAYS, of_tile, of_point};

#endif
