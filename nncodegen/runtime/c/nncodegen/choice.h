/* The choice among the variants of a kernel in a library for several CPUs: each function of the model calls the one of
   the chosen variant.

   Such a library contains the C of the model several times: compiled with the options for some CPUs, with
   NNCODEGEN_VARIANT defined as their name; and once without options, as the variant plain. This file is compiled once,
   with NNCODEGEN_VARIANTS(VARIANT) defined as VARIANT(name, condition) for each variant except plain, such as
   VARIANT(avx2, CPU_HAS(avx2) && CPU_HAS(fma)), the fastest first. Compilers can do that by themselves (target_clones),
   but not with vector types and inline functions, and only with glibc.

   Needs the header of the model, NN_MODEL, and what interface.h needs. Gives all functions that the header of the model
   declares, including use, and kernel, the table of the functions. */

#ifndef NNCODEGEN_CHOICE_H
#define NNCODEGEN_CHOICE_H

#include <string.h>

#include "nncodegen/base/cpu.h"
#include "nncodegen/base/entry_points.h"
#include "nncodegen/base/names.h"
#include "nncodegen/base/table.h"

#ifndef NNCODEGEN_VARIANTS
#define NNCODEGEN_VARIANTS(VARIANT)
#endif

#define DECLARED(name, condition) extern const NN(functions) NN_OF_VARIANT(name, kernel);

extern const NN(functions) NN_OF_VARIANT(plain, kernel);
NNCODEGEN_VARIANTS(DECLARED)

static const NN(functions) *chosen = &NN_OF_VARIANT(plain, kernel);

#define FOUND(name, condition) \
    if (strcmp(variant, #name) == 0 && condition) \
        found = &NN_OF_VARIANT(name, kernel);

int NN(use)(const char *variant)
{
    const NN(functions) *found = NULL;
    NNCODEGEN_VARIANTS(FOUND)
    if (strcmp(variant, NN_OF_VARIANT(plain, kernel).variant()) == 0)
        found = &NN_OF_VARIANT(plain, kernel);
    chosen = found ? found : chosen;
    return found != NULL;
}

#define HANDED_ON(result, hand, name, parameters, arguments) \
    result NN(name) parameters \
    { \
        hand chosen->name arguments; \
    }

NN_ENTRY_POINTS(HANDED_ON)
#if NN_HAS_MANY
NN_ENTRY_POINTS_FOR_MANY(HANDED_ON)
#endif
#if NN_HAS_BLAS
NN_ENTRY_POINTS_FOR_BLAS(HANDED_ON)
#endif
#if NN_HAS_FIT
NN_ENTRY_POINTS_FOR_FIT(HANDED_ON)
#endif
#if NN_HAS_FITS
NN_ENTRY_POINTS_FOR_FITS(HANDED_ON)
#endif
#if NN_HAS_HESSIAN
NN_ENTRY_POINTS_FOR_HESSIAN(HANDED_ON)
#endif
#if NN_HAS_FIELDS
NN_ENTRY_POINTS_FOR_FIELDS(HANDED_ON)
#endif
#if NN_HAS_STEP
NN_ENTRY_POINTS_FOR_STEP(HANDED_ON)
#endif

#ifndef NNCODEGEN_LINKED
extern const NN(functions) NN(kernel);

/* The table, so that a program can use this library like one with a single kernel. */
const NN(functions) NN(kernel) = NN_TABLE;
#endif

#endif
