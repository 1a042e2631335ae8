/* The table of the functions of one part of a model, for a module whose parts are built apart: that part is compiled into
   a library of its own when one of its functions is first called.

   Needs entry_points.h, and NN_PART, the initial values of the functions of the part. Gives nncodegen_part, the table;
   the functions of other parts are NULL. */

#ifndef NNCODEGEN_PART_H
#define NNCODEGEN_PART_H

#include "nncodegen/base/entry_points.h"
#include "nncodegen/base/names.h"

extern __attribute__((visibility("default"))) const NN(functions) nncodegen_part;

const NN(functions) nncodegen_part = { NN_PART };

#endif
