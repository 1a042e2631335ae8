/* A Python module for a model: the table of its functions and its facts, from which a wrapper that is the same for
   all models makes the module.

   Needs the header of the model, NN_MODEL, what interface.h needs, NN_PYTHON_MODULE, the name PyInit_NAME of the
   function that Python calls when it imports the module, and nncodegen_facts, which the including source defines: a
   Python text, cut into strings short enough for every compiler, and NULL at the end; and nncodegen_python.h, the Python
   part of the runtime, which nncodegen writes for a build. Gives that function,
   nncodegen_kernel, the table, and nncodegen_apart, whether the wrapper adds to the table what is built apart. */

#ifndef NNCODEGEN_MODULE_H
#define NNCODEGEN_MODULE_H

#include "entry_points.h"
#include "names.h"
#include "table.h"

extern NN_HIDDEN NN(functions) nncodegen_kernel;
extern NN_HIDDEN const int nncodegen_apart;
extern NN_HIDDEN const char *const nncodegen_facts[];
extern NN_HIDDEN const char nncodegen_digest[], nncodegen_finder[];
extern NN_HIDDEN const unsigned char nncodegen_texts[];
extern NN_HIDDEN const size_t nncodegen_texts_size;
extern NN_HIDDEN struct _object *PyInit_nncodegen_wrapper(void);
extern __attribute__((visibility("default"))) struct _object *NN_PYTHON_MODULE(void);

NN(functions) nncodegen_kernel = NN_TABLE;

#ifdef NNCODEGEN_APART
const int nncodegen_apart = 1;
#else
const int nncodegen_apart = 0;
#endif

struct _object *NN_PYTHON_MODULE(void)
{
    return PyInit_nncodegen_wrapper();
}

#endif
