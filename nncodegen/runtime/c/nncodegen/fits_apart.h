/* Builds many fits side by side where the kernel of their rows has a file of its own. The last line of NAME_fits.c
   includes it.

   Needs kernel.h and the kernel group_rows. Gives the functions of many fits that the header of the model declares. */

#ifndef NNCODEGEN_FITS_APART_H
#define NNCODEGEN_FITS_APART_H

#include "nncodegen/fit/fits.h"

#ifdef NNCODEGEN_APART
#define NN_PART NN_ENTRY_POINTS_FOR_FITS(NN_INITIAL)
#include "nncodegen/base/part.h"
#endif

#endif
