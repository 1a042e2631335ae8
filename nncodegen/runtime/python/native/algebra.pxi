# Decompositions in a fixed order (decompose.h) of stacks of matrices in double precision.

cdef extern from "nncodegen/math/decompose.h" nogil:
    double length_of(const double *values, size_t count, double *terms)
    void singular_values(const double *matrix, size_t rows, size_t columns, double *U, double *singular,
        double *directions, double *work, size_t *places)
    void triangle_of(const double *matrix, size_t rows, size_t width, double *triangle, double *work)


cdef _singular_values(matrices, U, singular, directions):
    """Decompose matrices (S, M, N), M >= N; see native.py."""
    cdef size_t count, rows, columns, k
    count, rows, columns = matrices.shape
    cdef bytearray values = bytearray(sizeof(double)*(columns*(rows + columns) + rows) + 1)
    cdef bytearray numbers = bytearray(sizeof(size_t)*(columns + 1))
    cdef double *work = <double *> _address(values)
    cdef size_t *places = <size_t *> _address(numbers)
    cdef const double *matrix = <const double *> _address(matrices)
    cdef double *u = <double *> _address(U)
    cdef double *s = <double *> _address(singular)
    cdef double *v = <double *> _address(directions)
    with nogil:
        for k in range(count):
            singular_values(matrix + k*rows*columns, rows, columns, u + k*rows*columns, s + k*columns,
                v + k*columns*columns, work, places)


cdef _triangles(matrices, triangles):
    """Compute the triangles of matrices (S, M, N); see native.py."""
    cdef size_t count, rows, width, steps, k
    count, rows, width = matrices.shape
    steps = min(rows, width)
    cdef bytearray values = bytearray(sizeof(double)*(rows*width + rows) + 1)
    cdef double *work = <double *> _address(values)
    cdef const double *matrix = <const double *> _address(matrices)
    cdef double *triangle = <double *> _address(triangles)
    with nogil:
        for k in range(count):
            triangle_of(matrix + k*rows*width, rows, width, triangle + k*steps*width, work)


cdef _lengths(rows, lengths):
    """Compute the lengths of rows (S, N); see native.py."""
    cdef size_t count, width, k
    count, width = rows.shape
    cdef bytearray values = bytearray(sizeof(double)*width + 1)
    cdef double *terms = <double *> _address(values)
    cdef const double *row = <const double *> _address(rows)
    cdef double *found = <double *> _address(lengths)
    with nogil:
        for k in range(count):
            found[k] = length_of(row + k*width, width, terms)
