# BLAS: the routine that computes the products of large layers. It uses one thread in each call.

from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer, PyCapsule_New
from libc.stdlib cimport calloc

# The number of running native calls of all modules in this process, and BLAS's number of threads before the first. Who
# reads or changes them takes the lock, which is never held for long: Pythons without a lock of their own need it.
ctypedef struct _BlasCalls:
    size_t under_way
    int before
    char lock

cdef extern from *:
    """
#define nncodegen_take(lock) while (__atomic_test_and_set(lock, __ATOMIC_ACQUIRE)) continue
#define nncodegen_release(lock) __atomic_clear(lock, __ATOMIC_RELEASE)
    """
    void nncodegen_take(char *) noexcept
    void nncodegen_release(char *) noexcept

ctypedef int (*_Threads)() noexcept nogil
ctypedef void (*_SetThreads)(int) noexcept nogil

cdef _BlasCalls *_blas_calls = NULL
cdef bint _calls_blas = False  # whether native calls use it; otherwise only SciPy's minimizers do
cdef _Threads _blas_threads = NULL
cdef _SetThreads _set_blas_threads = NULL


cdef _blas_counter():
    """Return a new counter of running calls, for all modules that call the same library."""
    cdef void *calls = calloc(1, sizeof(_BlasCalls))  # never freed: the library stays loaded until the process ends
    if not calls:
        raise MemoryError
    return PyCapsule_New(calls, "nncodegen.blas", NULL)


cdef _signature(routine):
    """Return the types of a C function in a capsule, as Cython writes them."""
    cdef const char *text = PyCapsule_GetName(routine)
    return text.decode() if text else ""


cdef _know_blas(calls, size_t threads, size_t set_threads):
    """Set the BLAS in use, by the addresses of the functions that return and set its number of threads."""
    global _blas_calls, _blas_threads, _set_blas_threads
    _blas_threads = <_Threads> threads
    _set_blas_threads = <_SetThreads> set_threads
    _blas_calls = <_BlasCalls *> PyCapsule_GetPointer(calls, "nncodegen.blas")


cdef _use_blas(routine):
    """Use a routine of the BLAS in use for products; it is given as a capsule."""
    global _calls_blas
    cdef void *gemm = PyCapsule_GetPointer(routine, PyCapsule_GetName(routine))
    _calls_blas = True
    kernel.use_gemm(<nncodegen_gemm *> gemm)


# The number of threads is a setting of the whole library. The first call that begins sets it to 1, and the last one
# that ends restores it; calls of several modules may run at the same time.

cdef bint _hold_blas() noexcept:
    """Limit BLAS to one thread, if native calls use it for products. Returns whether they do."""
    return _calls_blas and _hold_known_blas()


cdef bint _hold_known_blas() noexcept:
    """Limit a BLAS that is in use to one thread. Returns whether one is in use."""
    if not _blas_calls:
        return False
    nncodegen_take(&_blas_calls.lock)
    if _blas_calls.under_way == 0:
        _blas_calls.before = _blas_threads()
    _blas_calls.under_way += 1
    if _blas_threads() != 1:
        _set_blas_threads(1)
    nncodegen_release(&_blas_calls.lock)
    return True


cdef void _release_blas(bint held) noexcept:
    if not held:
        return
    nncodegen_take(&_blas_calls.lock)
    _blas_calls.under_way -= 1
    if _blas_calls.under_way == 0 and _blas_calls.before != _blas_threads() == 1:  # else it was set meanwhile
        _set_blas_threads(_blas_calls.before)
    nncodegen_release(&_blas_calls.lock)


cdef class _BlasHeld:
    """A context in which the BLAS in use, if any, starts no threads."""

    cdef bint held

    def __enter__(self):
        self.held = _hold_known_blas()

    def __exit__(self, *error):
        _release_blas(self.held)
