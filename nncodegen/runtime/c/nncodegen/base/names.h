/* The names of a model: NN(train) is perceptron_train if NN_MODEL(name) is perceptron_##name.

   Needs NN_MODEL, and NNCODEGEN_VARIANT if a kernel is compiled several times into one library: then the name of the
   variant, such as avx2, is a part of every name. With NNCODEGEN_LINKED, names are those of the library (library.c),
   which are the same for every model. Gives NN, NN_OF_VARIANT for the names of a variant, and NN_HIDDEN.

   The name of the model occurs only in NN_MODEL, and is pasted there: it may also be the name of a macro, such as
   sin of tgmath.h, which would be expanded anywhere else. */

#ifndef NNCODEGEN_NAMES_H
#define NNCODEGEN_NAMES_H

#ifdef NNCODEGEN_LINKED
#define NN_OF_MODEL(name) nncodegen_##name
#else
#define NN_OF_MODEL(name) NN_MODEL(name)
#endif

#define NN_JOINED(variant, name) NN_OF_MODEL(variant##_##name)
#define NN_OF_VARIANT(variant, name) NN_JOINED(variant, name)

#ifdef NNCODEGEN_VARIANT
#define NN(name) NN_OF_VARIANT(NNCODEGEN_VARIANT, name)
#else
#define NN(name) NN_OF_MODEL(name)
#endif

/* Before a function or constant that the parts of one module share: other modules have their own of the same name. */
#define NN_HIDDEN __attribute__((visibility("hidden")))

#endif
