/* Counts the bytes that Python allocates while it is told to: begin_count, end_count. */

#include <Python.h>

static PyMemAllocatorEx real[3];
static const PyMemAllocatorDomain domains[3] = {PYMEM_DOMAIN_RAW, PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
static unsigned long long allocated;

static void *count_malloc(void *context, size_t size)
{
    const PyMemAllocatorEx *const own = context;
    allocated += size;
    return own->malloc(own->ctx, size);
}

static void *count_calloc(void *context, size_t count, size_t size)
{
    const PyMemAllocatorEx *const own = context;
    allocated += count*size;
    return own->calloc(own->ctx, count, size);
}

/* A list that grows is moved now and then, to a place that is longer by an eighth: that is linear in its length. */
static void *count_realloc(void *context, void *before, size_t size)
{
    const PyMemAllocatorEx *const own = context;
    allocated += size;
    return own->realloc(own->ctx, before, size);
}

static void count_free(void *context, void *before)
{
    const PyMemAllocatorEx *const own = context;
    own->free(own->ctx, before);
}

void begin_count(void)
{
    allocated = 0;
    for (int k = 0; k < 3; k++) {
        PyMem_GetAllocator(domains[k], &real[k]);
        PyMemAllocatorEx counting = {&real[k], count_malloc, count_calloc, count_realloc, count_free};
        PyMem_SetAllocator(domains[k], &counting);
    }
}

unsigned long long end_count(void)
{
    for (int k = 0; k < 3; k++)
        PyMem_SetAllocator(domains[k], &real[k]);
    return allocated;
}
