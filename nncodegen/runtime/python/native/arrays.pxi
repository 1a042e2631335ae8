# NumPy arrays: reading them without a copy, and making them without a call of Python. The first members of their C
# structure, and the indices of functions in a table that NumPy offers, are NumPy's binary interface, which is the same
# in versions 1 and 2. Reading the members takes a tenth of the time of the buffer protocol, which has to describe
# shapes and types; making an array with the table takes half of the time of numpy.empty. NumPy's headers are not needed
# to compile this. At import, structure and table are checked; if they are not as expected, every array is handled by
# the buffer protocol and the Python part.

from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.ref cimport Py_INCREF

cdef extern from *:
    """
typedef struct {
    PyObject_HEAD
    PyTypeObject *scalar;
    char kind, code, order, flags;
} nncodegen_type;

typedef struct {
    PyObject_HEAD
    char *data;
    int axes;
    Py_ssize_t *shape;
    Py_ssize_t *strides;
    PyObject *base;
    nncodegen_type *type;
    int flags;
} nncodegen_array;

enum { nncodegen_C_CONTIGUOUS = 0x1, nncodegen_ALIGNED = 0x100 };
    """
    ctypedef struct nncodegen_type:
        char code
        char order

    ctypedef struct nncodegen_array:
        char *data
        int axes
        Py_ssize_t *shape
        nncodegen_type *type
        int flags

    enum: nncodegen_C_CONTIGUOUS
    enum: nncodegen_ALIGNED


cdef enum:
    USUAL = nncodegen_C_CONTIGUOUS | nncodegen_ALIGNED


# Indices in the table of NumPy's functions, and their types: PyArray_GetNDArrayCVersion, PyArray_Type and
# PyArray_NewFromDescr.
cdef enum:
    VERSION = 0
    TYPE = 2
    NEW = 94

ctypedef unsigned int (*nncodegen_version)()
ctypedef object (*nncodegen_new)(PyObject *, PyObject *, int, Py_ssize_t *, Py_ssize_t *, void *, int, PyObject *)


cdef bint _is_real(nncodegen_type *type):
    """Return whether a type is that of the module; after pickling, it may be another object that is equal."""
    return type.code == (c"d" if sizeof(real) == sizeof(double) else c"f") and type.order == c"="


cdef bint _has_layout():
    """Return whether the structure of arrays is as expected; checks the memory of some."""
    shown = _empty((2, 3), _real)
    turned, swapped = shown.T, shown.view(_real.newbyteorder())
    cdef nncodegen_array *a = <nncodegen_array *> <PyObject *> shown
    cdef nncodegen_array *b = <nncodegen_array *> <PyObject *> turned
    cdef nncodegen_array *c = <nncodegen_array *> <PyObject *> swapped
    if <size_t> a.data != <size_t> shown.__array_interface__["data"][0] or a.axes != 2 or b.axes != 2:
        return False
    if a.shape[0] != 2 or a.shape[1] != 3 or b.shape[0] != 3 or b.shape[1] != 2:
        return False
    if <void *> a.type != <void *> _real or not _is_real(a.type) or _is_real(c.type):
        return False
    return a.flags & USUAL == USUAL and b.flags & USUAL == nncodegen_ALIGNED


cdef bint _layout = _has_layout()


cdef nncodegen_array *_usual(array):
    """Return a C-contiguous NumPy array of the module's type as a structure; NULL for anything else."""
    if not _layout or type(array) is not _ndarray:
        return NULL
    cdef nncodegen_array *found = <nncodegen_array *> <PyObject *> array
    return found if found.flags & USUAL == USUAL and _is_real(found.type) else NULL


cdef void **_array_functions():
    """Return the table of NumPy's C functions; NULL unless its version is one with a known table."""
    cdef void **table
    for name in ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath"):
        capsule = getattr(_sys.modules.get(name), "_ARRAY_API", None)
        if capsule is not None:
            table = <void **> PyCapsule_GetPointer(capsule, NULL)
            version = (<nncodegen_version> table[VERSION])()
            return table if version in (0x1000009, 0x2000000) and table[TYPE] == <void *> _ndarray else NULL
    return NULL


cdef void **_functions = _array_functions()


cdef _new_matrix(Py_ssize_t rows, Py_ssize_t columns):
    """Return a new, uninitialized array of the module's type and this shape."""
    cdef Py_ssize_t[2] shape
    if not _functions:
        return _empty((rows, columns), _real)
    shape[0], shape[1] = rows, columns
    Py_INCREF(_real)  # the called function steals a reference
    return (<nncodegen_new> _functions[NEW])(<PyObject *> _ndarray, <PyObject *> _real, 2, shape, NULL, NULL, 0, NULL)


cdef _new_vector(Py_ssize_t count, type):
    """Return a new, uninitialized array with one axis."""
    if not _functions:
        return _empty(count, type)
    Py_INCREF(type)
    return (<nncodegen_new> _functions[NEW])(<PyObject *> _ndarray, <PyObject *> type, 1, &count, NULL, NULL, 0, NULL)


cdef void *_address(array) except? NULL:
    """Return the address of the values of a C-contiguous array of any type, which the caller must keep alive."""
    if array is None:
        return NULL
    cdef nncodegen_array *found = <nncodegen_array *> <PyObject *> array
    cdef Py_buffer view
    if _layout and type(array) is _ndarray and found.flags & nncodegen_C_CONTIGUOUS:
        return found.data
    PyObject_GetBuffer(array, &view, PyBUF_SIMPLE)
    cdef void *address = view.buf
    PyBuffer_Release(&view)
    return address
