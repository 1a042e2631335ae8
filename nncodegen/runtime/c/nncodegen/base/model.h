/* A model, as the library (library.c) sees it: what is the same for all models is compiled once, and reads the sizes
   of a model, and finds its kernels, in this structure. The C of each model defines it, if it is linked with the
   library.

   Needs base.h. Gives linked_model, trained, fitted, grouped and multiplied, the names of the structures of a model in
   training, in fits, in the training of many models and in products with its Hessian. */

#ifndef NNCODEGEN_MODEL_H
#define NNCODEGEN_MODEL_H

#include "nncodegen/base/calls.h"
#include "nncodegen/train/ranges.h"
#include "nncodegen/base/sizes.h"

typedef struct {
    model_sizes size;
    model_ranges special_ranges;
    predict_kernels predict;
    kernel_of_few *few;
    gradient_kernels gradient;
    row_kernels rows;
    rule_kernels rules;
    group_kernels group;
    kernel_in_registers *train_in_registers;
    double threshold; /* the output above which a sample counts as positive */
} linked_model;

#ifdef NNCODEGEN_LIBRARY
#define NN_THRESHOLD MODEL.threshold
#endif

extern NN_HIDDEN const linked_model NN(trained), NN(fitted), NN(grouped), NN(multiplied);

#endif
