/* Calls of compiled formulas from Python: a type whose objects are called with numbers, at the cost of a call.

   The type is the same for all formulas; each has a library of its own, in which there is only its table
   (formula_table.h). A call with floats, integers, and lists or short arrays of them is carried out here. Everything
   else, such as long arrays, keyword arguments and errors, is left to the method _call of the object, which checks it
   and comes back with arrays that have equal axes (run). Uses the stable interface of Python, unless it is compiled
   without it. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "nncodegen/base/formula_table.h"

#define CAPSULE "nncodegen.formula"

/* Numbers of a point that are kept on the stack. */
enum { FEW = 64 };

/* The nesting of an argument: a number (parts is NULL), or a sequence of parts. If all parts are alike, as in a matrix,
   it has axes, and may be given as an array. */
enum { MOST_AXES = 8 };
typedef struct form {
    Py_ssize_t count, numbers;
    struct form *parts;
    int axes;
    Py_ssize_t shape[MOST_AXES];
} form;

/* The nesting of a result: numbers and truth values by their place among the outputs, collections of results, and
   arrays of numbers that follow each other. what is a tuple: the arguments of numpy.empty, or the keys of a dict. */
typedef enum { NUMBER, TRUTH, LIST, TUPLE, DICT, ARRAY, TRUTHS } kind;
typedef struct result {
    kind of;
    size_t place;
    Py_ssize_t count;
    struct result *parts;
    PyObject *what;
} result;

typedef struct {
    PyObject_HEAD
    PyObject *library; /* the capsule */
    const nncodegen_values *values;
    form arguments;
    result results;
    PyObject *empty; /* numpy.empty */
    PyTypeObject *array; /* numpy.ndarray: what is derived from it may mean more, as masked arrays do */
} caller;

/* --- the nesting of arguments ---------------------------------------------------------------------------------- */

static void forget_form(form *f)
{
    for (Py_ssize_t k = 0; f->parts && k < f->count; k++)
        forget_form(f->parts + k);
    free(f->parts);
    f->parts = NULL;
}

static int same_axes(const form *a, const form *b)
{
    return a->axes >= 0 && a->axes == b->axes && !memcmp(a->shape, b->shape, (size_t) a->axes*sizeof a->shape[0]);
}

/* Reads a form from None, for a number, and tuples. Returns whether that was possible; otherwise there is an error. */
static int read_form(PyObject *given, form *f)
{
    memset(f, 0, sizeof *f);
    f->numbers = 1;
    if (given == Py_None)
        return 1;
    const Py_ssize_t count = PyTuple_Size(given);
    if (count < 0)
        return 0;
    f->parts = calloc((size_t) count + 1, sizeof *f->parts);
    if (!f->parts)
        return PyErr_NoMemory() != NULL;
    f->count = count;
    f->numbers = 0;
    for (Py_ssize_t k = 0; k < count; k++) {
        if (!read_form(PyTuple_GetItem(given, k), f->parts + k))
            return 0;
        f->numbers += f->parts[k].numbers;
    }
    f->axes = count && f->parts[0].axes >= 0 && f->parts[0].axes < MOST_AXES ? f->parts[0].axes + 1 : -1;
    for (Py_ssize_t k = 1; k < count; k++)
        if (!same_axes(f->parts, f->parts + k))
            f->axes = -1;
    if (f->axes > 0) {
        f->shape[0] = count;
        memcpy(f->shape + 1, f->parts[0].shape, (size_t) (f->axes - 1)*sizeof f->shape[0]);
    }
    return 1;
}

/* Copies the numbers of an array of doubles with any strides; returns how many. */
static Py_ssize_t copy_axes(const char *from, const Py_buffer *view, int axis, double *to)
{
    if (axis == view->ndim) {
        memcpy(to, from, sizeof *to);
        return 1;
    }
    Py_ssize_t copied = 0;
    for (Py_ssize_t k = 0; k < view->shape[axis]; k++)
        copied += copy_axes(from + k*view->strides[axis], view, axis + 1, to + copied);
    return copied;
}

/* Returns whether the items of a buffer are numbers of a type, in the order of bytes of this machine; NumPy writes = if
   they are not aligned. */
static int holds(const Py_buffer *view, char type)
{
    const char *const format = view->format;
    return format && (format[0] == type || ((format[0] == '=' || format[0] == '@') && format[1] == type))
        && !format[format[0] == type ? 1 : 2];
}

static int read_array(const caller *self, PyObject *given, const form *f, double *to)
{
    Py_buffer view;
    if (!Py_IS_TYPE(given, self->array))
        return 0;
    if (PyObject_GetBuffer(given, &view, PyBUF_STRIDED_RO | PyBUF_FORMAT)) {
        PyErr_Clear();
        return 0;
    }
    int fits = view.ndim == f->axes && holds(&view, 'd');
    for (int k = 0; fits && k < view.ndim; k++)
        fits = view.shape[k] == f->shape[k];
    if (fits && view.ndim == 1)
        for (Py_ssize_t k = 0; k < view.shape[0]; k++)
            memcpy(to + k, (const char *) view.buf + k*view.strides[0], sizeof *to);
    else if (fits)
        copy_axes(view.buf, &view, 0, to);
    PyBuffer_Release(&view);
    return fits;
}

/* Reads the numbers of an argument. Returns whether it has the nesting, and is so simple that nothing is lost: there is
   no error otherwise. */
static int read_numbers(const caller *self, PyObject *given, const form *f, double *to)
{
    if (!f->parts) {
        if (PyFloat_Check(given))
            *to = PyFloat_AsDouble(given);
        else if (PyLong_Check(given))
            *to = PyLong_AsDouble(given);
        else
            return 0;
        if (*to == -1.0 && PyErr_Occurred()) { /* a whole number that no float is as large as */
            PyErr_Clear();
            return 0;
        }
        return 1;
    }
    const int list = PyList_CheckExact(given), tuple = PyTuple_CheckExact(given);
    if (!list && !tuple)
        return f->axes > 0 && read_array(self, given, f, to);
    if ((list ? PyList_Size(given) : PyTuple_Size(given)) != f->count)
        return 0;
    for (Py_ssize_t k = 0; k < f->count; k++) {
        if (!read_numbers(self, list ? PyList_GetItem(given, k) : PyTuple_GetItem(given, k), f->parts + k, to))
            return 0;
        to += f->parts[k].numbers;
    }
    return 1;
}

/* --- the nesting of results ------------------------------------------------------------------------------------ */

static void forget_result(result *r)
{
    for (Py_ssize_t k = 0; r->parts && k < r->count; k++)
        forget_result(r->parts + k);
    free(r->parts);
    r->parts = NULL;
    Py_CLEAR(r->what);
}

/* Reads a result from tuples: (kind, place, parts, what). */
static int read_result(PyObject *given, result *r)
{
    int of;
    Py_ssize_t place;
    PyObject *parts, *what;
    memset(r, 0, sizeof *r);
    if (!PyArg_ParseTuple(given, "inOO", &of, &place, &parts, &what))
        return 0;
    const Py_ssize_t count = PyTuple_Size(parts);
    if (count < 0)
        return 0;
    r->of = (kind) of;
    r->place = (size_t) place;
    r->what = Py_NewRef(what);
    r->parts = calloc((size_t) count + 1, sizeof *r->parts);
    if (!r->parts)
        return PyErr_NoMemory() != NULL;
    r->count = count;
    for (Py_ssize_t k = 0; k < count; k++)
        if (!read_result(PyTuple_GetItem(parts, k), r->parts + k))
            return 0;
    return 1;
}

/* Returns one of the outputs of a point. */
static double output(const nncodegen_values *v, const void *outputs, size_t place)
{
    double value;
    float rounded;
    if (v->bits == 32) {
        memcpy(&rounded, (const char *) outputs + place*sizeof rounded, sizeof rounded);
        return (double) rounded;
    }
    memcpy(&value, (const char *) outputs + place*sizeof value, sizeof value);
    return value;
}

/* Returns an array of some outputs of a point. */
static PyObject *array_of(const caller *self, const result *r, const void *outputs)
{
    PyObject *array = PyObject_Call(self->empty, r->what, NULL);
    Py_buffer view;
    if (!array)
        return NULL;
    if (PyObject_GetBuffer(array, &view, PyBUF_WRITABLE)) {
        Py_DECREF(array);
        return NULL;
    }
    if (r->of == ARRAY)
        memcpy(view.buf, (const char *) outputs + r->place*(self->values->bits/8), (size_t) view.len);
    else
        for (Py_ssize_t k = 0; k < view.len; k++)
            ((char *) view.buf)[k] = output(self->values, outputs, r->place + (size_t) k) != 0;
    PyBuffer_Release(&view);
    return array;
}

typedef PyObject *part_builder(const caller *self, const result *r, void *more);

/* Returns a list, a tuple or a dict of parts, each of which a function builds. */
static PyObject *collection(const caller *self, const result *r, part_builder *build, void *more)
{
    PyObject *whole = r->of == LIST ? PyList_New(r->count) : r->of == TUPLE ? PyTuple_New(r->count) : PyDict_New();
    for (Py_ssize_t k = 0; whole && k < r->count; k++) {
        PyObject *part = build(self, r->parts + k, more);
        int failed = !part;
        if (part && r->of == LIST)
            failed = PyList_SetItem(whole, k, part);
        else if (part && r->of == TUPLE)
            failed = PyTuple_SetItem(whole, k, part);
        else if (part) {
            failed = PyDict_SetItem(whole, PyTuple_GetItem(r->what, k), part);
            Py_DECREF(part);
        }
        if (failed)
            Py_CLEAR(whole);
    }
    return whole;
}

/* Returns a result of a point, given its outputs. */
static PyObject *result_of(const caller *self, const result *r, void *outputs)
{
    if (r->of == NUMBER || r->of == TRUTH) {
        const double value = output(self->values, outputs, r->place);
        return r->of == NUMBER ? PyFloat_FromDouble(value) : PyBool_FromLong(value != 0);
    }
    if (r->of == ARRAY || r->of == TRUTHS)
        return array_of(self, r, outputs);
    return collection(self, r, result_of, outputs);
}

/* --- many points ----------------------------------------------------------------------------------------------- */

/* Arrays with equal axes, inputs before outputs, in which points from ``begin`` to ``end`` are computed. */
typedef struct {
    const nncodegen_values *values;
    size_t axes, size, operands, begin, end;
    const size_t *shape;
    char *const *at;
    const Py_ssize_t *strides; /* of the first operand, of the second, ... */
    const char *flat;          /* for each operand: 1 if its points follow each other, 2 if all are one, else 0 */
    int failed;
} task;

/* Copies count points of an operand, from the point ``first`` on, to a row (in), or from a row to them. */
static void copy_points(const task *t, size_t operand, size_t first, size_t count, char *row, int in)
{
    const Py_ssize_t *const strides = t->strides + operand*t->axes;
    const size_t last = t->axes - 1, size = t->size;
    const Py_ssize_t inner = strides[last];
    while (count) {
        size_t rest = first;
        char *at = t->at[operand];
        size_t position = rest%t->shape[last];
        rest /= t->shape[last];
        for (size_t axis = last; axis--; rest /= t->shape[axis])
            at += (Py_ssize_t) (rest%t->shape[axis])*strides[axis];
        at += (Py_ssize_t) position*inner;
        const size_t run = t->shape[last] - position < count ? t->shape[last] - position : count;
        if (size == sizeof(double))
            for (size_t k = 0; k < run; k++)
                memcpy(in ? row + k*8 : at + (Py_ssize_t) k*inner, in ? at + (Py_ssize_t) k*inner : row + k*8, 8);
        else
            for (size_t k = 0; k < run; k++)
                memcpy(in ? row + k*4 : at + (Py_ssize_t) k*inner, in ? at + (Py_ssize_t) k*inner : row + k*4, 4);
        row += run*size;
        first += run;
        count -= run;
    }
}

static void pad(char *row, size_t count, size_t whole, size_t size)
{
    for (size_t k = count; k < whole; k++)
        memcpy(row + k*size, row + (count ? count - 1 : 0)*size, size);
}

static void *compute(void *given)
{
    task *const t = given;
    const nncodegen_values *const v = t->values;
    const size_t row = (v->tile*t->size + 63)/64*64;
    char *const memory = malloc(t->operands*row + v->work*t->size + 128);
    char **const rows = malloc((t->operands + 1)*sizeof *rows);
    if (!memory || !rows) {
        free(memory);
        free(rows);
        t->failed = 1;
        return NULL;
    }
    char *const own = memory + (64 - (uintptr_t) memory%64)%64, *const work = own + t->operands*row;
    for (size_t k = 0; k < v->inputs; k++)
        if (t->flat[k] == 2) {
            memcpy(own + k*row, t->at[k], t->size);
            pad(own + k*row, 1, v->tile, t->size);
        }
    for (size_t first = t->begin; first < t->end; first += v->tile) {
        const size_t count = t->end - first < v->tile ? t->end - first : v->tile;
        const size_t whole = (count + v->lanes - 1)/v->lanes*v->lanes;
        for (size_t k = 0; k < t->operands; k++) {
            rows[k] = own + k*row;
            if (t->flat[k] == 1 && whole == count)
                rows[k] = t->at[k] + first*t->size;
            else if (k < v->inputs && t->flat[k] != 2) {
                copy_points(t, k, first, count, rows[k], 1);
                pad(rows[k], count, whole, t->size);
            }
        }
        v->of_tile((const void *const *) rows, (void *const *) (rows + v->inputs), whole, work);
        for (size_t k = v->inputs; k < t->operands; k++)
            if (rows[k] == own + k*row)
                copy_points(t, k, first, count, rows[k], 0);
    }
    free(memory);
    free(rows);
    return NULL;
}

/* Joins axes of equal arrays where the points of the second follow each other after those of the first. */
static size_t joined(size_t axes, size_t *shape, Py_ssize_t *strides, size_t operands)
{
    size_t left = 0;
    for (size_t axis = 0; axis < axes; axis++) {
        if (shape[axis] == 1 && axes > 1 && !(axis + 1 == axes && !left))
            continue;
        int joins = left > 0;
        for (size_t k = 0; joins && k < operands; k++)
            joins = strides[k*axes + left - 1] == strides[k*axes + axis]*(Py_ssize_t) shape[axis];
        left += !joins;
        for (size_t k = 0; k < operands; k++)
            strides[k*axes + left - 1] = strides[k*axes + axis];
        shape[left - 1] = joins ? shape[left - 1]*shape[axis] : shape[axis];
    }
    for (size_t k = 0; k < operands; k++)
        memmove(strides + k*left, strides + k*axes, left*sizeof *strides);
    return left;
}

/* Computes points of operands that have been checked, in some threads; returns whether there was enough memory. */
static int compute_in_threads(task *t, size_t points, size_t threads)
{
    const size_t tile = t->values->tile, tiles = (points + tile - 1)/tile;
    threads = threads < tiles ? threads : tiles ? tiles : 1;
    task *const tasks = calloc(threads, sizeof *tasks);
    pthread_t *const begun = calloc(threads, sizeof *begun);
    int failed = !tasks || !begun;
    size_t running = 0;
    for (size_t k = 0; !failed && k < threads; k++) {
        tasks[k] = *t;
        tasks[k].begin = tiles*k/threads*tile;
        tasks[k].end = k + 1 < threads ? tiles*(k + 1)/threads*tile : points;
        if (k + 1 < threads && !pthread_create(begun + running, NULL, compute, tasks + k))
            running++;
        else
            compute(tasks + k);
    }
    for (size_t k = 0; k < running; k++)
        pthread_join(begun[k], NULL);
    for (size_t k = 0; !failed && k < threads; k++)
        failed |= tasks[k].failed;
    free(tasks);
    free(begun);
    return !failed;
}

static PyObject *run(PyObject *object, PyObject *given)
{
    const nncodegen_values *const v = ((caller *) object)->values;
    PyObject *of_shape, *arrays;
    Py_ssize_t threads;
    if (!PyArg_ParseTuple(given, "O!O!n", &PyTuple_Type, &of_shape, &PyTuple_Type, &arrays, &threads))
        return NULL;
    const size_t axes = (size_t) PyTuple_Size(of_shape), operands = (size_t) PyTuple_Size(arrays);
    if (!v || operands != v->inputs + v->outputs || !axes) {
        PyErr_SetString(PyExc_ValueError, "run takes an array for each input and output, of one axis or more");
        return NULL;
    }
    Py_buffer *const views = calloc(operands + 1, sizeof *views);
    char **const at = calloc(operands + 1, sizeof *at);
    char *const flat = calloc(operands + 1, 1);
    Py_ssize_t *const strides = calloc(operands*axes + 1, sizeof *strides);
    size_t *const shape = calloc(axes, sizeof *shape);
    const size_t size = v->bits/8;
    size_t taken = 0, points = 1;
    int fits = views && at && flat && strides && shape;
    if (!fits)
        PyErr_NoMemory();
    for (size_t k = 0; fits && k < axes; k++) {
        shape[k] = PyLong_AsSize_t(PyTuple_GetItem(of_shape, (Py_ssize_t) k));
        points *= shape[k];
    }
    for (; fits && taken < operands; taken++) {
        const int flags = PyBUF_STRIDED_RO | PyBUF_FORMAT | (taken < v->inputs ? 0 : PyBUF_WRITABLE);
        if (PyObject_GetBuffer(PyTuple_GetItem(arrays, (Py_ssize_t) taken), views + taken, flags)) {
            fits = 0;
            break;
        }
        const Py_buffer *const view = views + taken;
        int alike = view->ndim == (int) axes && holds(view, v->bits == 64 ? 'd' : 'f');
        for (size_t k = 0; alike && k < axes; k++) {
            alike = view->shape[k] == (Py_ssize_t) shape[k];
            strides[taken*axes + k] = view->strides[k];
        }
        at[taken] = view->buf;
        if (!alike) {
            PyErr_SetString(PyExc_ValueError, "run takes arrays of one shape, in the precision of the formula");
            fits = 0;
        }
    }
    if (fits && points) {
        const size_t left = joined(axes, shape, strides, operands);
        for (size_t k = 0; k < operands; k++) {
            const Py_ssize_t stride = strides[k*left + left - 1];
            flat[k] = left == 1 && (size_t) stride == size && (uintptr_t) at[k]%size == 0 ? 1 : left == 1 && !stride ? 2 : 0;
            Py_ssize_t follows = (Py_ssize_t) size;
            int whole = left > 1, one = left > 1;
            for (size_t axis = left; axis--;) {
                whole &= strides[k*left + axis] == follows;
                one &= strides[k*left + axis] == 0;
                follows *= (Py_ssize_t) shape[axis];
            }
            if (whole && (uintptr_t) at[k]%size == 0)
                flat[k] = 1;
            else if (one && k < v->inputs)
                flat[k] = 2;
        }
        task whole = {.values = v, .axes = left, .size = size, .operands = operands, .shape = shape, .at = at,
            .strides = strides, .flat = flat};
        int enough;
        Py_BEGIN_ALLOW_THREADS
        enough = compute_in_threads(&whole, points, threads > 0 ? (size_t) threads : 1);
        Py_END_ALLOW_THREADS
        if (!enough) {
            PyErr_NoMemory();
            fits = 0;
        }
    }
    for (size_t k = 0; views && k < taken; k++)
        PyBuffer_Release(views + k);
    free(views);
    free(at);
    free(flat);
    free(strides);
    free(shape);
    return fits ? Py_NewRef(Py_None) : NULL;
}

/* --- some points -------------------------------------------------------------------------------------------------- */

/* Arrays of one axis, and numbers, that are given for the inputs of a call: short ones are computed without Python's
   help. ``views`` are held until the end of the call. */
enum { MOST_POINTS = 8192 };
typedef struct {
    Py_ssize_t points; /* 0 while no array has been met */
    size_t taken;
    Py_buffer *views;
    char **at;
    Py_ssize_t *strides;
    double *numbers;
} rows;

static int is_number(PyObject *given)
{
    return PyFloat_Check(given) || PyLong_Check(given);
}

/* Takes an array for all numbers of a form, whose last axis are the points. */
static int take_array(const caller *self, PyObject *given, const form *f, size_t place, rows *r)
{
    Py_buffer *const view = r->views + r->taken;
    if (f->axes < 0 || !Py_IS_TYPE(given, self->array))
        return 0;
    if (PyObject_GetBuffer(given, view, PyBUF_STRIDED_RO | PyBUF_FORMAT)) {
        PyErr_Clear();
        return 0;
    }
    r->taken++;
    if (view->ndim != f->axes + 1 || !holds(view, 'd'))
        return 0;
    for (int axis = 0; axis < f->axes; axis++)
        if (view->shape[axis] != f->shape[axis])
            return 0;
    const Py_ssize_t points = view->shape[f->axes];
    if (points < 1 || points > MOST_POINTS || (r->points && r->points != points))
        return 0;
    r->points = points;
    for (Py_ssize_t number = 0; number < f->numbers; number++) {
        char *at = view->buf;
        Py_ssize_t left = number;
        for (int axis = f->axes; axis--; left /= f->shape[axis])
            at += left%f->shape[axis]*view->strides[axis];
        r->at[place + (size_t) number] = at;
        r->strides[place + (size_t) number] = view->strides[f->axes];
    }
    return 1;
}

/* Takes an argument; returns whether it was simple enough. */
static int take(const caller *self, PyObject *given, const form *f, size_t place, rows *r)
{
    if (!f->parts && is_number(given)) {
        r->at[place] = (char *) (r->numbers + place);
        r->strides[place] = 0;
        return read_numbers(self, given, f, r->numbers + place);
    }
    const int list = PyList_CheckExact(given), tuple = PyTuple_CheckExact(given);
    if (!f->parts || (!list && !tuple))
        return take_array(self, given, f, place, r);
    if ((list ? PyList_Size(given) : PyTuple_Size(given)) != f->count)
        return 0;
    for (Py_ssize_t k = 0; k < f->count; k++) {
        if (!take(self, list ? PyList_GetItem(given, k) : PyTuple_GetItem(given, k), f->parts + k, place, r))
            return 0;
        place += (size_t) f->parts[k].numbers;
    }
    return 1;
}

/* Returns whether all results are numbers and arrays of them: conditions are left to Python. */
static int has_numbers_alone(const result *r)
{
    int numbers = r->of != TRUTH && r->of != TRUTHS;
    for (Py_ssize_t k = 0; numbers && k < r->count; k++)
        numbers = has_numbers_alone(r->parts + k);
    return numbers;
}

/* Returns a new array for a result, and takes the places of its numbers. */
static PyObject *new_array(const caller *self, const result *r, rows *taken)
{
    PyObject *first = NULL, *shape = NULL, *array = NULL;
    if (r->of == NUMBER)
        array = PyObject_CallFunction(self->empty, "n", taken->points);
    else if ((first = Py_BuildValue("(n)", taken->points)) && (shape = PySequence_Concat(first, PyTuple_GetItem(r->what, 0))))
        array = PyObject_CallFunctionObjArgs(self->empty, shape, NULL);
    Py_XDECREF(first);
    Py_XDECREF(shape);
    Py_buffer *const view = taken->views + taken->taken;
    if (!array || PyObject_GetBuffer(array, view, PyBUF_WRITABLE)) {
        Py_XDECREF(array);
        return NULL;
    }
    taken->taken++;
    const Py_ssize_t stride = view->len/taken->points;
    for (Py_ssize_t k = 0; k < stride/(Py_ssize_t) sizeof(double); k++) {
        taken->at[self->values->inputs + r->place + (size_t) k] = (char *) view->buf + (size_t) k*sizeof(double);
        taken->strides[self->values->inputs + r->place + (size_t) k] = stride;
    }
    return array;
}

static PyObject *of_rows(const caller *self, const result *r, void *taken)
{
    return r->of == NUMBER || r->of == ARRAY ? new_array(self, r, taken) : collection(self, r, of_rows, taken);
}

/* Returns the results for short arrays; NULL without an error for arguments that are left to Python. */
static PyObject *call_with_rows(const caller *self, PyObject *arguments)
{
    const nncodegen_values *const v = self->values;
    const size_t operands = v->inputs + v->outputs;
    if (v->bits != 64 || !has_numbers_alone(&self->results))
        return NULL;
    char *const memory = calloc(operands + 1, sizeof(Py_buffer) + sizeof(char *) + sizeof(Py_ssize_t) + sizeof(double) + 1);
    if (!memory)
        return NULL;
    rows r = {.views = (Py_buffer *) memory};
    r.at = (char **) (r.views + operands + 1);
    r.strides = (Py_ssize_t *) (r.at + operands + 1);
    r.numbers = (double *) (r.strides + operands + 1);
    char *const flat = (char *) (r.numbers + operands + 1);
    size_t place = 0;
    int fits = 1;
    for (Py_ssize_t k = 0; fits && k < self->arguments.count; k++) {
        fits = take(self, PyTuple_GetItem(arguments, k), self->arguments.parts + k, place, &r);
        place += (size_t) self->arguments.parts[k].numbers;
    }
    PyObject *value = fits && r.points ? of_rows(self, &self->results, &r) : NULL;
    if (value) {
        for (size_t k = 0; k < operands; k++) {
            const int follow = r.strides[k] == sizeof(double) && (uintptr_t) r.at[k]%sizeof(double) == 0;
            flat[k] = follow ? 1 : k < v->inputs && !r.strides[k] ? 2 : 0;
        }
        const size_t shape[1] = {(size_t) r.points};
        task all = {.values = v, .axes = 1, .size = sizeof(double), .operands = operands, .end = shape[0],
            .shape = shape, .at = r.at, .strides = r.strides, .flat = flat};
        compute(&all);
        if (all.failed) {
            Py_CLEAR(value);
            PyErr_NoMemory();
        }
    }
    while (r.taken)
        PyBuffer_Release(r.views + --r.taken);
    free(memory);
    return value;
}

/* --- calls ----------------------------------------------------------------------------------------------------- */

static PyObject *left_to_python(PyObject *self, PyObject *arguments, PyObject *named)
{
    PyObject *method = PyObject_GetAttrString(self, "_call");
    PyObject *value = method ? PyObject_Call(method, arguments, named) : NULL;
    Py_XDECREF(method);
    return value;
}

static void values_of(const nncodegen_values *v, double *inputs, void *outputs)
{
    if (v->bits == 32) /* in place: a float takes less than what it is made from */
        for (size_t k = 0; k < v->inputs; k++) {
            const float rounded = (float) inputs[k];
            memcpy((char *) inputs + k*sizeof rounded, &rounded, sizeof rounded);
        }
    v->of_point(inputs, outputs);
}

static PyObject *call(PyObject *object, PyObject *arguments, PyObject *named)
{
    caller *self = (caller *) object;
    const nncodegen_values *v = self->values;
    const Py_ssize_t count = PyTuple_Size(arguments);
    if (!v) {
        PyErr_SetString(PyExc_TypeError, "this function has no formula: nncodegen.lambdify makes one that has");
        return NULL;
    }
    if (count != self->arguments.count || (named && PyDict_Size(named)))
        return left_to_python(object, arguments, named);
    double few[FEW], *many = NULL, *inputs = few;
    if (v->inputs + v->outputs > FEW) {
        inputs = many = malloc((v->inputs + v->outputs)*sizeof *many);
        if (!many)
            return PyErr_NoMemory();
    }
    double *const outputs = inputs + v->inputs, *to = inputs;
    PyObject *value = NULL;
    Py_ssize_t k = 0;
    for (; k < count; k++) {
        if (!read_numbers(self, PyTuple_GetItem(arguments, k), self->arguments.parts + k, to))
            break;
        to += self->arguments.parts[k].numbers;
    }
    if (k == count) {
        values_of(v, inputs, outputs);
        value = result_of(self, &self->results, outputs);
    }
    free(many);
    if (k < count)
        value = call_with_rows(self, arguments);
    return value || k == count || PyErr_Occurred() ? value : left_to_python(object, arguments, named);
}

/* --- functions that SciPy calls -------------------------------------------------------------------------------- */

static double of_numbers(int count, double *numbers, void *table)
{
    const nncodegen_values *const v = table;
    double inputs[FEW], outputs[FEW];
    if (count < 0 || (size_t) count != v->inputs || count > FEW)
        return Py_NAN;
    memcpy(inputs, numbers, (size_t) count*sizeof *numbers);
    values_of(v, inputs, outputs);
    return output(v, outputs, 0);
}

static double of_one(double number, void *table)
{
    return of_numbers(1, &number, table);
}

static int of_neighbours(double *numbers, intptr_t count, double *value, void *table)
{
    const nncodegen_values *const v = table;
    if (count < 0 || (size_t) count != v->inputs)
        return 0;
    *value = of_numbers((int) count, numbers, table);
    return 1;
}

static int of_places(intptr_t *places, double *coordinates, int to, int from, void *table)
{
    const nncodegen_values *const v = table;
    double inputs[FEW], outputs[FEW];
    if (to < 0 || from < 0 || (size_t) to != v->inputs || (size_t) from != v->outputs)
        return 0;
    for (int k = 0; k < to; k++)
        inputs[k] = (double) places[k];
    values_of(v, inputs, outputs);
    for (int k = 0; k < from; k++)
        coordinates[k] = output(v, outputs, (size_t) k);
    return 1;
}

static const struct {
    const char *signature;
    void *function;
} SIGNATURES[] = {
    {"double (double, void *)", (void *) of_one},
    {"double (int, double *, void *)", (void *) of_numbers},
    {"int (double *, intptr_t, double *, void *)", (void *) of_neighbours},
    {"int (intptr_t *, double *, int, int, void *)", (void *) of_places},
};

/* Returns a function of a signature, as SciPy takes it: a capsule, whose context is the table of the formula. */
static PyObject *low_level(PyObject *object, PyObject *name)
{
    const nncodegen_values *const v = ((caller *) object)->values;
    PyObject *const text = PyUnicode_AsASCIIString(name);
    if (!text)
        return NULL;
    PyObject *capsule = NULL;
    for (size_t k = 0; k < sizeof SIGNATURES/sizeof *SIGNATURES; k++)
        if (v && v->inputs <= FEW && v->outputs <= FEW && !strcmp(PyBytes_AsString(text), SIGNATURES[k].signature)) {
            capsule = PyCapsule_New(SIGNATURES[k].function, SIGNATURES[k].signature, NULL);
            if (capsule && PyCapsule_SetContext(capsule, (void *) (uintptr_t) v))
                Py_CLEAR(capsule);
        }
    Py_DECREF(text);
    if (!capsule && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "there is no function of this signature");
    return capsule;
}

/* --- the type -------------------------------------------------------------------------------------------------- */

static int begin(PyObject *object, PyObject *arguments, PyObject *named)
{
    caller *self = (caller *) object;
    PyObject *library, *form_of_arguments, *form_of_results, *empty, *array;
    if (named && PyDict_Size(named)) {
        PyErr_SetString(PyExc_TypeError, "it takes no keyword arguments");
        return -1;
    }
    if (self->values) {
        PyErr_SetString(PyExc_TypeError, "a function has its formula already");
        return -1;
    }
    if (!PyArg_ParseTuple(arguments, "OOOOO!", &library, &form_of_arguments, &form_of_results, &empty,
            &PyType_Type, &array))
        return -1;
    const nncodegen_values *v = PyCapsule_GetPointer(library, CAPSULE);
    if (!v || !read_form(form_of_arguments, &self->arguments) || !read_result(form_of_results, &self->results))
        return -1;
    if (!self->arguments.parts || (size_t) self->arguments.numbers != v->inputs) {
        PyErr_SetString(PyExc_ValueError, "the arguments are not those of the formula");
        return -1;
    }
    self->library = Py_NewRef(library);
    self->empty = Py_NewRef(empty);
    self->array = (PyTypeObject *) Py_NewRef(array);
    self->values = v;
    return 0;
}

static void end(PyObject *object)
{
    caller *self = (caller *) object;
    PyTypeObject *const type = Py_TYPE(object);
    forget_form(&self->arguments);
    forget_result(&self->results);
    Py_CLEAR(self->library);
    Py_CLEAR(self->empty);
    Py_CLEAR(self->array);
    ((freefunc) PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF((PyObject *) type);
}

static PyMethodDef METHODS[] = {
    {"_run", run, METH_VARARGS, "Compute the outputs of many points: the shape of the arrays, all arrays, threads."},
    {"_low_level", low_level, METH_O, "Return a function of C with a signature, as SciPy takes it."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot SLOTS[] = {
    {Py_tp_new, (void *) PyType_GenericNew},
    {Py_tp_init, (void *) begin},
    {Py_tp_dealloc, (void *) end},
    {Py_tp_call, (void *) call},
    {Py_tp_methods, (void *) METHODS},
    {0, NULL},
};

static PyType_Spec SPEC = {
    "nncodegen_caller.Caller", sizeof(caller), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, SLOTS,
};

/* Returns the table of a library, which stays loaded until the process ends: SciPy may keep its functions. Of a library
   for several CPUs, it is that of a variant, or of the fastest one. */
static PyObject *load(PyObject *module, PyObject *arguments)
{
    (void) module;
    PyObject *path;
    const char *variant = "";
    if (!PyArg_ParseTuple(arguments, "O&|s", PyUnicode_FSConverter, &path, &variant))
        return NULL;
    void *const library = dlopen(PyBytes_AsString(path), RTLD_NOW | RTLD_LOCAL);
    Py_DECREF(path);
    const void *(*of)(const char *) = NULL;
    if (library)
        *(void **) &of = dlsym(library, "nncodegen_formula_of");
    const int of_one = library && !of && !*variant;
    void *const table = of ? (void *) of(variant) : of_one ? dlsym(library, "nncodegen_formula") : NULL;
    if (!table) {
        if (!library || of_one)
            PyErr_SetString(PyExc_ImportError, dlerror());
        else
            PyErr_Format(PyExc_ImportError, "it has no kernel %s that this CPU can run", variant);
        return NULL;
    }
    return PyCapsule_New(table, CAPSULE, NULL);
}

static PyMethodDef FUNCTIONS[] = {
    {"load", load, METH_VARARGS, "Return the table of the library of a formula, or of a variant in it."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "nncodegen_caller", NULL, 0, FUNCTIONS, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_nncodegen_caller(void)
{
    PyObject *const module = PyModule_Create(&MODULE);
    PyObject *const type = module ? PyType_FromSpec(&SPEC) : NULL;
    if (type && !PyModule_AddObject(module, "Caller", type))
        return module;
    Py_XDECREF(type);
    Py_XDECREF(module);
    return NULL;
}
