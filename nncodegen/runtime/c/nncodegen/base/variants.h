/* The choice among the kernels of a formula in a library for several CPUs.

   Such a library contains the C of the formula several times, each with NNCODEGEN_VARIANT defined as the name of a
   variant; this file is compiled once, with NNCODEGEN_VARIANTS defined as choice.h of models has it.

   Needs NN_MODEL. Gives nncodegen_formula_of: the table of a variant, or NULL if this CPU cannot run it; of the fastest
   one, if the name is empty. */

#ifndef NNCODEGEN_VALUES_VARIANTS_H
#define NNCODEGEN_VALUES_VARIANTS_H

#include <string.h>

#include "nncodegen/base/cpu.h"
#include "nncodegen/base/names.h"
#include "nncodegen/base/formula_table.h"

#ifndef NNCODEGEN_VARIANTS
#define NNCODEGEN_VARIANTS(VARIANT)
#endif

#define DECLARED(name, condition) extern const nncodegen_values NN_OF_VARIANT(name, formula);

extern const nncodegen_values NN_OF_VARIANT(plain, formula);
NNCODEGEN_VARIANTS(DECLARED)

#define FOUND(name, condition) \
    if ((!*variant || strcmp(variant, #name) == 0) && condition) \
        return &NN_OF_VARIANT(name, formula);

extern __attribute__((visibility("default"))) const nncodegen_values *nncodegen_formula_of(const char *variant);

const nncodegen_values *nncodegen_formula_of(const char *variant)
{
    NNCODEGEN_VARIANTS(FOUND)
    return !*variant || strcmp(variant, "plain") == 0 ? &NN_OF_VARIANT(plain, formula) : NULL;
}

#endif
