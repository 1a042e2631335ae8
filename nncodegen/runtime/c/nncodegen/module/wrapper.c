/* The wrapper as a library of its own, which modules share that are linked without it (module.h): a Python module
   without contents, whose function define makes others from theirs.

   Needs nncodegen_python.h, and NNCODEGEN_REAL, the type of numbers, double or float. It is linked with the wrapper. */

#define NN_MODEL(name) nncodegen_##name
#define NN_REAL NNCODEGEN_REAL
#include "nncodegen/interface.h"

#define NN_MODEL(name) nncodegen_##name
#include "nncodegen/module/contents.h"
#include "nncodegen_python.h"

extern NN_HIDDEN struct _object *PyInit_nncodegen_wrapper(void);
extern __attribute__((visibility("default"))) struct _object *PyInit_nncodegen_shared_wrapper(void);

const nncodegen_contents *const nncodegen_own = NULL;

struct _object *PyInit_nncodegen_shared_wrapper(void)
{
    return PyInit_nncodegen_wrapper();
}
