# Modules from what their libraries hold: the one that this wrapper is linked with, or any number of others.

cdef extern from *:
    """
/* The definition of a module that Python makes in two steps, and what its library holds. */
typedef struct {
    PyModuleDef definition;
    PyModuleDef_Slot slots[4];
    const nncodegen_contents *contents;
} nncodegen_module;

/* Lets Python call create(spec, definition) and then execute(module). */
static PyObject *nncodegen_define(nncodegen_module *of, void *create, void *execute)
{
    PyModuleDef_Slot *slot = of->slots;
    *slot++ = (PyModuleDef_Slot) { Py_mod_create, create };
    *slot++ = (PyModuleDef_Slot) { Py_mod_exec, execute };
#ifdef Py_GIL_DISABLED
    *slot++ = (PyModuleDef_Slot) { Py_mod_gil, Py_MOD_GIL_NOT_USED };
#endif
    *slot = (PyModuleDef_Slot) { 0, NULL };
    of->definition.m_name = "compiled";
    of->definition.m_slots = of->slots;
    return PyModuleDef_Init(&of->definition);
}
    """
    ctypedef struct PyModuleDef:
        pass

    ctypedef struct nncodegen_module:
        const nncodegen_contents *contents

    PyObject *nncodegen_define(nncodegen_module *, void *, void *) except NULL
    PyModuleDef *PyModule_GetDef(object) except NULL


cdef _fill(dict namespace, const nncodegen_contents *contents):
    """Add the functions and attributes of a module to its namespace, given what its library holds."""
    facts = _python.read("".join(_strings(contents.facts)))
    cdef _Native native = _Native.__new__(_Native)
    native.kernel = contents.functions
    native.apart = contents.apart
    native.namespace, native.asked = namespace, set()
    native.variants = _use_variant(&native.kernel)  # before all other calls: the variants need different memory
    native.variant = native.kernel.variant().decode()
    native.state_size, native.measures_size = native.kernel.state_size(), native.kernel.measures_size()
    native.columns = sum([size for _, size in facts.samples.inputs])
    native.targets = sum([size for _, size in facts.samples.targets])
    native.outputs = sum([size for _, size in facts.samples.outputs])
    native.count = sum([parameter.size for parameter in facts.parameters])
    native.labels = facts.samples.labels
    native.cost = <double> native.kernel.operations_per_sample()
    _know_ranges(native, facts)
    native.rising = bool(facts.samples.rising)
    native.model = _python.fill(namespace, facts, native)
    native.rules = native.model.short_rules


cdef dict _definitions = {}  # the definitions of modules, and these, by the addresses of their contents
cdef dict _modules = {}


def define(size_t contents):
    """Return the definition of a module, from which Python makes it, given the address of what its library holds."""
    cdef nncodegen_module *module
    if contents not in _definitions:
        module = <nncodegen_module *> calloc(1, sizeof(nncodegen_module))  # never freed, as the library stays loaded
        if not module:
            raise MemoryError
        module.contents = <const nncodegen_contents *> contents
        _definitions[contents] = <object> nncodegen_define(module, <void *> _create, <void *> _execute)
    return _definitions[contents]


cdef object _create(spec, PyModuleDef *definition):
    """Return the module of a definition: a library has one in a process, however often it is imported."""
    contents = <size_t> (<nncodegen_module *> definition).contents
    return _modules.setdefault(contents, type(_sys)(spec.name))


cdef int _execute(module) except -1:
    """Fill a module when it is imported for the first time."""
    if "_model" not in module.__dict__:
        _fill(module.__dict__, (<nncodegen_module *> PyModule_GetDef(module)).contents)
    return 0


if c_own != NULL:
    del _namespace["define"]
    _fill(_namespace, c_own)
