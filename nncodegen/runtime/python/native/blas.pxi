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

cdef struct _Blas:
    _BlasCalls *calls
    bint called  # whether native calls use it; otherwise only SciPy's minimizers do
    _Threads threads
    _SetThreads set_threads


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


cdef _know_blas(_Blas *blas, calls, size_t threads, size_t set_threads):
    """Set the BLAS in use, by the addresses of the functions that return and set its number of threads."""
    blas.threads = <_Threads> threads
    blas.set_threads = <_SetThreads> set_threads
    blas.calls = <_BlasCalls *> PyCapsule_GetPointer(calls, "nncodegen.blas")


cdef _use_blas(_Native native, routine):
    """Use a routine of the BLAS in use for products; it is given as a capsule."""
    cdef void *gemm = PyCapsule_GetPointer(routine, PyCapsule_GetName(routine))
    native.blas.called = True
    native.kernel.use_gemm(<nncodegen_gemm *> gemm)


# The number of threads is a setting of the whole library. The first call that begins sets it to 1, and the last one
# that ends restores it; calls of several modules may run at the same time.

cdef bint _hold_blas(_Blas *blas) noexcept:
    """Limit BLAS to one thread, if native calls use it for products. Returns whether they do."""
    return blas.called and _hold_known_blas(blas)


cdef bint _hold_known_blas(_Blas *blas) noexcept:
    """Limit a BLAS that is in use to one thread. Returns whether one is in use."""
    if not blas.calls:
        return False
    nncodegen_take(&blas.calls.lock)
    if blas.calls.under_way == 0:
        blas.calls.before = blas.threads()
    blas.calls.under_way += 1
    if blas.threads() != 1:
        blas.set_threads(1)
    nncodegen_release(&blas.calls.lock)
    return True


cdef void _release_blas(_Blas *blas, bint held) noexcept:
    if not held:
        return
    nncodegen_take(&blas.calls.lock)
    blas.calls.under_way -= 1
    if blas.calls.under_way == 0 and blas.calls.before != blas.threads() == 1:  # else it was set meanwhile
        blas.set_threads(blas.calls.before)
    nncodegen_release(&blas.calls.lock)


cdef class _BlasHeld:
    """A context in which the BLAS in use, if any, starts no threads."""

    cdef _Native native
    cdef bint held

    def __cinit__(self, _Native native):
        self.native = native

    def __enter__(self):
        self.held = _hold_known_blas(&self.native.blas)

    def __exit__(self, *error):
        _release_blas(&self.native.blas, self.held)
