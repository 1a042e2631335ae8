/* The functions of a model, which call its kernels: predictions, losses and gradients, training, and the table of all
   functions. The last line of the C of a model includes this.

   Needs kernel.h, and the kernels that the headers below name. Gives all functions that the header of the model
   declares, and kernel, the table of them. */

#ifndef NNCODEGEN_TRAINING_H
#define NNCODEGEN_TRAINING_H

#include "facts.h"
#if NN_HAS_BLAS
#include "blas.h"
#endif
#include "predict.h"
#include "gradient.h"
#include "rules.h"
#include "update.h"
#if NN_DESCENDS
#include "descend.h"
#endif
#include "train.h"
#if NN_HAS_REGISTERS
#include "registers.h"
#endif

#ifdef NNCODEGEN_VARIANT
#include "table.h"

extern const NN(functions) NN(kernel);

/* All functions of a variant of the kernel, including those of NAME_many.c, NAME_fitting.c and NAME_hessian.c. */
const NN(functions) NN(kernel) = NN_TABLE;
#endif

#endif
