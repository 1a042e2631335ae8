/* A Python module for a model: the table of its functions and its facts, from which a wrapper that is the same for
   all models makes the module.

   Needs the header of the model, NN_MODEL, what interface.h needs, NN_PYTHON_MODULE, the name PyInit_NAME of the
   function that Python calls when it imports the module, and nncodegen_facts, which the including source defines: a
   Python text, cut into strings short enough for every compiler, and NULL at the end. Gives that function and
   nncodegen_kernel, the table. */

#ifndef NNCODEGEN_MODULE_H
#define NNCODEGEN_MODULE_H

#include "entry_points.h"
#include "names.h"
#include "table.h"

/* Hides names that are the same in every module from other modules. */
#define HIDDEN __attribute__((visibility("hidden")))

extern HIDDEN const NN(functions) nncodegen_kernel;
extern HIDDEN const char *const nncodegen_facts[];
extern HIDDEN struct _object *PyInit_nncodegen_wrapper(void);
extern __attribute__((visibility("default"))) struct _object *NN_PYTHON_MODULE(void);

const NN(functions) nncodegen_kernel = NN_TABLE;

struct _object *NN_PYTHON_MODULE(void)
{
    return PyInit_nncodegen_wrapper();
}

#endif
