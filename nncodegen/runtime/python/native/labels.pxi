# Inputs that are whole numbers of a range, such as tokens, and targets that are given as labels of steps: the checks of
# usual ones, and the rows that labels stand for. Whatever is not as expected is left to the Python part, which says why.

cdef struct _range:
    size_t first, last  # the columns of the inputs
    double begin, end  # the numbers, from begin to below end


cdef _know_ranges(_Native native, facts):
    """Take the ranges of inputs, and the shape of the target that labels may stand for, from the facts of a model."""
    cdef size_t first = 0
    native.ranges = <_range *> calloc(max(1, len(facts.samples.ranges)), sizeof(_range))
    if not native.ranges:
        raise MemoryError
    for tensor, size in facts.samples.inputs:
        if tensor in facts.samples.ranges:
            begin, end = facts.samples.ranges[tensor]
            native.ranges[native.ranges_count] = _range(first, first + <size_t> size, begin, end)
            native.ranges_count += 1
        first += <size_t> size
    if len(facts.samples.targets) == 1 and facts.samples.targets[0][0] in facts.samples.label_targets:
        *leading, classes = facts.samples.shapes.get(facts.samples.targets[0][0], (1,))
        if len(leading) == 1 and classes > 1 and not facts.samples.labels:
            native.steps, native.classes = <size_t> native.targets//<size_t> classes, classes


cdef bint _in_ranges(_Native native, const real *inputs, size_t rows) noexcept:
    """Return whether all inputs that have ranges are whole numbers within them."""
    cdef size_t n, i, k
    cdef _range *each
    cdef double value
    for k in range(native.ranges_count):
        each = native.ranges + k
        for n in range(rows):
            for i in range(each.first, each.last):
                value = inputs[n*<size_t> native.columns + i]
                if not (each.begin <= value < each.end) or value != floor(value):
                    return False
    return True


cdef real *_rows_of_labels(_Native native, given, size_t *samples) except? NULL:
    """Return new rows with a 1 at each label of (N, steps), and the number of samples; NULL if the labels are not usual.

    The caller frees the rows.
    """
    cdef nncodegen_array *array = _usual(given)
    cdef size_t k, count
    cdef double label
    cdef real *rows
    if not array or not native.classes or array.axes != 2 or <size_t> array.shape[1] != native.steps:
        return NULL
    samples[0] = <size_t> array.shape[0]
    count = samples[0]*native.steps
    rows = <real *> calloc(max(1, count*native.classes), sizeof(real))
    if not rows:
        raise MemoryError
    for k in range(count):
        label = (<const real *> array.data)[k]
        if not (0 <= label < <double> native.classes) or label != floor(label):
            free(rows)
            return NULL
        rows[k*native.classes + <size_t> label] = 1
    return rows
