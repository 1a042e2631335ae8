/* The part of a Python module's library that the wrapper (native.pyx) reads, and makes the module from.

   Needs NN_MODEL, the header of the model, and nncodegen_python.h, which nncodegen writes for a build: the Python part of
   the runtime, or for a module without a wrapper the name of the one that it needs. Gives the type of contents, and the
   declarations of nncodegen_own, the contents that the wrapper was linked with, if any, and of the texts of that
   header. */

#ifndef NNCODEGEN_CONTENTS_H
#define NNCODEGEN_CONTENTS_H

#include <stddef.h>

#include "nncodegen/base/names.h"

typedef struct {
    NN(functions) functions;
    const char *const *facts; /* a Python text, cut into strings short enough for every compiler, and NULL at the end */
    int apart; /* whether the functions of some parts are NULL, because they are built apart (part.h) */
} NN(contents);

extern NN_HIDDEN const NN(contents) *const nncodegen_own;
extern NN_HIDDEN const char nncodegen_wrapper[];
extern NN_HIDDEN const char nncodegen_digest[], nncodegen_finder[];
extern NN_HIDDEN const unsigned char nncodegen_texts[];
extern NN_HIDDEN const size_t nncodegen_texts_size;

#endif
