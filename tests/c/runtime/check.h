/* What the test programs of the runtime share: checks that say where they failed, and arrays whose ends are watched.
   Include it first, after what a test chooses of the sample.

   All values are small whole numbers, or halves of them: sums of their products are exact, in any order. */

#ifndef CHECK_H
#define CHECK_H

#define _POSIX_C_SOURCE 200809L

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "sample.h"

#include "nncodegen/base/base.h"

static char present_case[200];

/* Says what is checked from now on, as printf does. */
static UNUSED void begin_case(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(present_case, sizeof present_case, format, arguments);
    va_end(arguments);
}

/* Ends the program where a promise is broken. */
#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s: not %s\n", __FILE__, __LINE__, present_case, #condition); \
            exit(1); \
        } \
    } while (0)

/* for each value of a list */
#define EACH(name, list) \
    for (size_t name##_number = 0, name = list[0]; name##_number < sizeof list/sizeof *list; \
        name##_number++, name = name##_number < sizeof list/sizeof *list ? list[name##_number] : 0)

/* An array has values after it that must not change or, where AddressSanitizer watches, nothing. */
#if defined(__SANITIZE_ADDRESS__)
static const size_t GUARD = 0;
#else
static const size_t GUARD = 64;
#endif

enum { MOST_ARRAYS = 16 };

static struct {
    void *memory;
    real *values;
    size_t count;
} checked_arrays[MOST_ARRAYS];

static size_t array_count;

static const real UNTOUCHED = 12345;

/* An array of ``count`` values, all of them UNTOUCHED at first, which begins ``offset`` values after a multiple of 64
   bytes. */
static UNUSED real *array_at(size_t offset, size_t count)
{
    void *memory;
    CHECK(array_count < MOST_ARRAYS);
    CHECK(posix_memalign(&memory, 64, (offset + count + GUARD)*sizeof(real)) == 0);
    real *const values = (real *) memory + offset;
    for (size_t k = 0; k < count + GUARD; k++)
        values[k] = UNTOUCHED;
    checked_arrays[array_count].memory = memory;
    checked_arrays[array_count].values = values;
    checked_arrays[array_count++].count = count;
    return values;
}

static UNUSED real *array(size_t count)
{
    return array_at(0, count);
}

/* The same, filled with whole numbers from -3 to 3, which are the same in every run. */
static UNUSED real *numbers_at(size_t offset, size_t count)
{
    static uint32_t state = 1;
    real *const values = array_at(offset, count);
    for (size_t k = 0; k < count; k++) {
        state = state*UINT32_C(1664525) + UINT32_C(1013904223);
        values[k] = (real) ((int) (state >> 16)%7 - 3);
    }
    return values;
}

static UNUSED real *numbers(size_t count)
{
    return numbers_at(0, count);
}

static UNUSED real *copy_of(const real *values, size_t count)
{
    real *const copy = array(count);
    memcpy(copy, values, count*sizeof(real));
    return copy;
}

/* The end of a case: nothing after an array has changed. All arrays are gone. */
static UNUSED void end_case(void)
{
    for (size_t k = 0; k < array_count; k++) {
        for (size_t after = 0; after < GUARD; after++)
            CHECK(checked_arrays[k].values[checked_arrays[k].count + after] == UNTOUCHED);
        free(checked_arrays[k].memory);
    }
    array_count = 0;
}

#endif
