/* The names of a model: NN(train) is perceptron_train where NN_MODEL is perceptron.

   Needs NN_MODEL, and NNCODEGEN_VARIANT where a kernel is compiled several times into one library: then the name
   of the variant, such as avx2, is a part of every name. Gives NN, and NN_OF_VARIANT for the names of a variant. */

#ifndef NNCODEGEN_NAMES_H
#define NNCODEGEN_NAMES_H

#define NN_JOINED(first, second) first##_##second
#define NN_JOIN(first, second) NN_JOINED(first, second)

#define NN_OF_VARIANT(variant, name) NN_JOIN(NN_JOIN(NN_MODEL, variant), name)

#ifdef NNCODEGEN_VARIANT
#define NN(name) NN_OF_VARIANT(NNCODEGEN_VARIANT, name)
#else
#define NN(name) NN_JOIN(NN_MODEL, name)
#endif

#endif
