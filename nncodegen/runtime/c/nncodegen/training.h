/* The functions of a model, which call its kernels: predictions, losses and gradients, training, and the table of all
   functions. The last line of the C of a model includes this.

   Needs kernel.h, and the kernels that the headers below name. Gives all functions that the header of the model
   declares, and kernel, the table of them; or, with NNCODEGEN_LINKED, trained (model.h), if the functions are those of
   the library. */

#ifndef NNCODEGEN_TRAINING_H
#define NNCODEGEN_TRAINING_H

#if NN_HAS_BLAS
#include "nncodegen/products/blas.h"
#endif
#if NN_HAS_REGISTERS
#include "nncodegen/train/registers.h"
#endif

#ifdef NNCODEGEN_LINKED
#include "nncodegen/predict/few.h"
#include "nncodegen/base/model.h"
#include "nncodegen/train/rules.h"
#if NN_HAS_BLOCKS
#include "nncodegen/products/products.h"
#endif

const linked_model NN(trained) = {
    .size = SIZES_OF_MODEL, .special_ranges = RANGES_OF_MODEL, .predict = PREDICT_KERNELS, .few = outputs_of_few,
    .gradient = GRADIENT_KERNELS, .rules = OWN_RULES, .train_in_registers = TRAIN_IN_REGISTERS,
    .threshold = NN_THRESHOLD
};
#else
#include "nncodegen/module/facts.h"
#include "nncodegen/train/gradient.h"
#include "nncodegen/predict/predict.h"
#include "nncodegen/train/train.h"
#endif

#ifdef NNCODEGEN_VARIANT
#include "nncodegen/base/table.h"

extern const NN(functions) NN(kernel);

/* All functions of a variant of the kernel, including those of NAME_many.c, NAME_fitting.c and others. */
const NN(functions) NN(kernel) = NN_TABLE;
#endif

#endif
