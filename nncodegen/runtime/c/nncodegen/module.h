/* A Python module for a model: the table of its functions and its facts, from which a wrapper that is the same for
   all models makes the module.

   Needs the header of the model, NN_MODEL, what interface.h needs, NN_PYTHON_MODULE, the name PyInit_NAME of the
   function that Python calls when it imports the module, and nncodegen_facts (contents.h), which the including source
   defines; and nncodegen_python.h, which nncodegen writes for a build. Gives that function. The wrapper is linked with
   the module; or, with NNCODEGEN_APART, it is a library of its own, which all modules of a process share. */

#ifndef NNCODEGEN_MODULE_H
#define NNCODEGEN_MODULE_H

#include "nncodegen/module/contents.h"
#include "nncodegen/base/entry_points.h"
#include "nncodegen/base/names.h"
#include "nncodegen/base/table.h"

extern NN_HIDDEN const char *const nncodegen_facts[];
extern __attribute__((visibility("default"))) struct _object *NN_PYTHON_MODULE(void);

#ifdef NNCODEGEN_APART
/* Functions of Python's stable interface, whose headers are not needed to compile a model. */
extern struct _object *PyImport_ImportModule(const char *name);
extern struct _object *PyObject_CallMethod(struct _object *object, const char *name, const char *format, ...);
extern void Py_DecRef(struct _object *object);

static const NN(contents) own_contents = {.functions = NN_TABLE, .facts = nncodegen_facts, .apart = 1};

struct _object *NN_PYTHON_MODULE(void)
{
    struct _object *const home = PyImport_ImportModule("nncodegen.compiler.building.wrapper"), *definition = NULL;
    if (home)
        definition = PyObject_CallMethod(home, "define", "sn", nncodegen_wrapper, (ptrdiff_t) &own_contents);
    Py_DecRef(home); /* it may be NULL */
    return definition;
}
#else
extern NN_HIDDEN struct _object *PyInit_nncodegen_wrapper(void);

static const NN(contents) own_contents = {.functions = NN_TABLE, .facts = nncodegen_facts, .apart = 0};
const NN(contents) *const nncodegen_own = &own_contents;

struct _object *NN_PYTHON_MODULE(void)
{
    return PyInit_nncodegen_wrapper();
}
#endif

#endif
