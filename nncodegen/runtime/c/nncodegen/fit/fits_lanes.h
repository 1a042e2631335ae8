/* Many fits side by side: their layout in vectors.

   Needs vectors.h, and NN_FITS, the number of fits side by side, NN_FIT_OUTPUTS, the number of outputs of a sample that
   are fitted, and NN_FITS_VALUES, the number of values of a fit that group_rows needs. Gives FITS and the sizes of the
   parts of a fit, FITS_LOOP, place_of, at, where, EPSILON.

   For several outputs, group_rows is called with a seed for each. With NN_FIT_FORWARD it is called once, and gives the
   derivatives of all outputs, by one parameter after the other (SWEPT values), which then are put in rows. */

#ifndef NNCODEGEN_FITS_LANES_H
#define NNCODEGEN_FITS_LANES_H

#include "nncodegen/base/vectors.h"

#if !defined(NN_FITS) || NN_FIT_OUTPUTS == 0 || !defined(NN_FITS_VALUES)
#error "with NN_HAS_GROUP_ROWS, define NN_FITS, NN_FIT_OUTPUTS and NN_FITS_VALUES"
#endif
#if NN_FITS*NN_BITS != 512
#error "NN_FITS must fill the longest vectors: 8 of 64 bits, 16 of 32"
#endif

enum {
    FITS = NN_FITS,
    OBSERVED = NN_FIT_OUTPUTS, /* the fitted outputs of each sample */
    GUARDED = NN_FIT_GUARDS, /* the values of each sample whose signs are kept: see guards.h */
    COLUMNS = PARAMETERS + 1, /* the derivatives by all parameters, followed by the residual */
    SIGNS = GUARDED > 0 ? 2*GUARDED : 1, /* words that hold the signs */
    SWEPT = NN_FIT_FORWARD ? NN_OUTPUTS : 0, /* values that group_rows gives at once for all outputs */
    LIMITED = NN_FIT_FORWARD && NN_HAS_PATHS, /* whether group_rows reads a limit of steps after its values */
    SEEDS = NN_FIT_FORWARD ? 0 : OBSERVED*OBSERVED,
    BEFORE = NN_FIT_FORWARD ? 0 : OBSERVED + GUARDED, /* values of a row before its columns */
    ROW = BEFORE + COLUMNS, /* the output of group_rows for one seed, and the residual */
    TRIANGLE = PARAMETERS*(PARAMETERS + 1)/2,
    SYSTEM = COLUMNS*(COLUMNS + 1)/2, /* the sums of the products of all columns: J'J, then J'r, then r'r */
    GRADIENT_PLACE = TRIANGLE,
    COST_PLACE = SYSTEM - 1
};

/* The distance of 1 to the next number: twice the rounding of a number of size 1. */
#define EPSILON ((real) (NN_BITS == 64 ? 0x1p-52 : 0x1p-23))

/* Before a loop over the fits: its iterations do not depend on each other. */
#define FITS_LOOP LANES_LOOP

/* Returns the index of the entry of a row and a column, column <= row, in a triangle that is stored by rows. */
INLINE size_t place_of(size_t row, size_t column)
{
    return row*(row + 1)/2 + column;
}

/* Returns the vector of an array of [place][FITS]; values points at the first lane of the vector in place 0. */
INLINE vector *at(real *values, size_t place)
{
    return (vector *) (values + place*FITS);
}

INLINE vector get(const real *values, size_t place)
{
    return *(const vector *) (values + place*FITS);
}

INLINE words *words_at(word *values)
{
    return (words *) values;
}

INLINE words get_words(const word *values)
{
    return *(const words *) values;
}

/* Returns the lanes of a where the condition holds, else those of b. */
INLINE vector where(words condition, vector a, vector b)
{
    return (vector) ((condition & (words) a) | (~condition & (words) b));
}

#endif
