/* The table of the functions of a model.

   Needs the header of the model, NN_MODEL, and what interface.h needs. Gives NN_TABLE, its initializer. With
   NNCODEGEN_APART, the functions of parts that are built apart (part.h) are NULL in it. */

#ifndef NNCODEGEN_TABLE_H
#define NNCODEGEN_TABLE_H

#include "nncodegen/base/entry_points.h"
#include "nncodegen/base/names.h"

#if NN_HAS_MANY && !defined(NNCODEGEN_APART)
#define NN_TABLE_FOR_MANY NN_ENTRY_POINTS_FOR_MANY(NN_INITIAL)
#else
#define NN_TABLE_FOR_MANY
#endif
#if NN_HAS_BLAS
#define NN_TABLE_FOR_BLAS NN_ENTRY_POINTS_FOR_BLAS(NN_INITIAL)
#else
#define NN_TABLE_FOR_BLAS
#endif

#if NN_HAS_FIT && !defined(NNCODEGEN_APART)
#define NN_TABLE_FOR_FIT NN_ENTRY_POINTS_FOR_FIT(NN_INITIAL)
#else
#define NN_TABLE_FOR_FIT
#endif
#if NN_HAS_FITS && !defined(NNCODEGEN_APART)
#define NN_TABLE_FOR_FITS NN_ENTRY_POINTS_FOR_FITS(NN_INITIAL)
#else
#define NN_TABLE_FOR_FITS
#endif
#if NN_HAS_HESSIAN && !defined(NNCODEGEN_APART)
#define NN_TABLE_FOR_HESSIAN NN_ENTRY_POINTS_FOR_HESSIAN(NN_INITIAL)
#else
#define NN_TABLE_FOR_HESSIAN
#endif

#if NN_HAS_FIELDS && !defined(NNCODEGEN_APART)
#define NN_TABLE_FOR_FIELDS NN_ENTRY_POINTS_FOR_FIELDS(NN_INITIAL)
#else
#define NN_TABLE_FOR_FIELDS
#endif

#if NN_HAS_STEP && !defined(NNCODEGEN_APART)
#define NN_TABLE_FOR_STEP NN_ENTRY_POINTS_FOR_STEP(NN_INITIAL)
#else
#define NN_TABLE_FOR_STEP
#endif

#define NN_TABLE \
    { NN_ENTRY_POINTS(NN_INITIAL) NN_ENTRY_POINTS_OF_CHOICE(NN_INITIAL) NN_TABLE_FOR_MANY NN_TABLE_FOR_BLAS \
        NN_TABLE_FOR_FIT NN_TABLE_FOR_FITS NN_TABLE_FOR_HESSIAN NN_TABLE_FOR_FIELDS NN_TABLE_FOR_STEP }

#endif
