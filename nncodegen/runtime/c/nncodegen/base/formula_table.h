/* The table of a compiled formula: its sizes, and the kernels that compute its values.

   Needs nothing. Gives nncodegen_values, which the C of a formula fills (values.h) and the caller reads (caller.c). */

#ifndef NNCODEGEN_FORMULA_TABLE_H
#define NNCODEGEN_FORMULA_TABLE_H

#include <stddef.h>

/* Numbers are double, or float if bits is 32. of_tile reads a row of contiguous numbers for each input, and writes one
   for each output, of ``count`` points: a multiple of ``lanes``, and at most ``tile``. It needs ``work`` numbers of
   memory. of_point reads the inputs of one point, one after the other, and writes its outputs. */
typedef struct {
    size_t bits, inputs, outputs, tile, lanes, work;
    void (*of_tile)(const void *const *inputs, void *const *outputs, size_t count, void *work);
    void (*of_point)(const void *inputs, void *outputs);
} nncodegen_values;

#endif
