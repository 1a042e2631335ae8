/* The code that all models share, for one type of numbers and one variant of the instructions: compiled once, and
   linked into each module with the kernels of its model (model.h).

   Needs NNCODEGEN_LINKED, NN_BITS, 64 or 32, and NNCODEGEN_VARIANT, the name of the variant. With NNCODEGEN_FITS it
   has the functions of fits, with NNCODEGEN_GROUPS those of many models side by side, for groups of that many bytes of
   each number (group.h), with NNCODEGEN_HESSIAN those of products with the Hessian, with NNCODEGEN_PATHS the solver of
   differential equations, otherwise the others: a module may have some without the others. */

#define NNCODEGEN_LIBRARY
#if NN_BITS == 64
#define NN_REAL double
#else
#define NN_REAL float
#endif
#define NN_HAS_FIT 1
#define NN_HAS_MANY 1
#define NN_HAS_HESSIAN 1
#include "nncodegen/interface.h"

#ifdef NNCODEGEN_FITS
#define MODEL NN(fitted)
#elif defined(NNCODEGEN_GROUPS)
#define MODEL NN(grouped)
#elif defined(NNCODEGEN_HESSIAN)
#define MODEL NN(multiplied)
#else
#define MODEL NN(trained)
#endif
#include "nncodegen/base/model.h"

#ifdef NNCODEGEN_PATHS
#include "nncodegen/math/functions.h"
#include "nncodegen/solve/solve.h"
#elif defined(NNCODEGEN_FITS)
#include "nncodegen/fit/fit.h"
#include "nncodegen/fit/fit_groups.h"
#elif defined(NNCODEGEN_GROUPS)
#include "nncodegen/many.h"
#elif defined(NNCODEGEN_HESSIAN)
#include "nncodegen/hessian.h"
#else
#include "nncodegen/module/facts.h"
#include "nncodegen/train/gradient.h"
#include "nncodegen/train/metrics.h"
#include "nncodegen/predict/predict.h"
#include "nncodegen/train/train.h"
#endif
