/* A team of threads that share the chunks of each batch.

   Needs batch.h; with NNCODEGEN_THREADS it uses POSIX threads and C11's atomics, else nothing. Gives team, gather_team,
   dismiss_team, sum_by_team. */

#ifndef NNCODEGEN_THREADS_H
#define NNCODEGEN_THREADS_H

#include "nncodegen/train/batch.h"

#ifdef NNCODEGEN_THREADS
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { THREADS = 64, SPINS = 20000 };

/* The least stack of a thread in bytes. Some systems give 128 or 512 KB; stiff equations take up to 280. */
enum { STACK = 1 << 20 };

/* Threads that share the chunks of each batch, from the beginning of a call to its end. They spin while they wait,
   and sleep if that takes long. In every round of work, each thread computes the sums of one chunk. */
typedef struct team team;

typedef struct {
    team *team;
    memory m;
    size_t number;
    pthread_t thread;
} member;

struct team {
    member members[THREADS];
    size_t count;
    const batch *work; /* NULL: the threads end */
    size_t first; /* the chunk of member 0 */
    size_t chunks; /* of the whole batch */
    atomic_size_t round; /* counts the rounds */
    atomic_size_t working; /* the number of threads that have not completed it */
    pthread_mutex_t lock;
    pthread_cond_t wake;
};

/* Computes the chunk of a member in the current round. */
static UNUSED void do_share(team *t, member *own)
{
    const size_t chunk = t->first + own->number;
    if (t->first == 0)
        prepare_batch(t->work, own->m);
    if (chunk < t->chunks)
        sum_chunk(t->work, own->m, chunk, NULL);
}

/* The function that each thread runs. */
static UNUSED void *be_member(void *argument)
{
    FLUSH_SUBNORMALS
    member *const own = argument;
    team *const t = own->team;
    for (size_t seen = 0;; seen++) {
        for (size_t spins = 0; spins < SPINS && atomic_load_explicit(&t->round, memory_order_acquire) == seen; spins++)
            ;
        pthread_mutex_lock(&t->lock);
        while (atomic_load_explicit(&t->round, memory_order_acquire) == seen)
            pthread_cond_wait(&t->wake, &t->lock);
        pthread_mutex_unlock(&t->lock);
        if (!t->work)
            return NULL;
        do_share(t, own);
        atomic_fetch_sub_explicit(&t->working, 1, memory_order_release);
    }
}

/* Begins a round. */
static UNUSED void announce(team *t, const batch *work, size_t first, size_t chunks)
{
    pthread_mutex_lock(&t->lock);
    t->work = work;
    t->first = first;
    t->chunks = chunks;
    atomic_store_explicit(&t->working, t->count - 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->round, 1, memory_order_release);
    pthread_cond_broadcast(&t->wake);
    pthread_mutex_unlock(&t->lock);
}

static UNUSED void await_members(team *t)
{
    for (size_t spins = 0; atomic_load_explicit(&t->working, memory_order_acquire); spins++)
        if (spins > SPINS)
            sched_yield();
}

/* Starts a team of threads, of which the calling one is the first; fewer, if the system starts no more. */
static UNUSED void gather_team(team *t, size_t threads, char *work)
{
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->wake, NULL);
    atomic_init(&t->round, 0);
    atomic_init(&t->working, 0);
    pthread_attr_t attributes;
    size_t stack = STACK;
    pthread_attr_init(&attributes);
    pthread_attr_getstacksize(&attributes, &stack);
    if (stack < STACK)
        pthread_attr_setstacksize(&attributes, STACK);
    for (t->count = 0; t->count < threads && t->count < THREADS; t->count++) {
        member *const own = t->members + t->count;
        *own = (member) {.team = t, .m = carve(work + t->count*size_of_work()), .number = t->count};
        clear(own->m);
        if (t->count > 0 && pthread_create(&own->thread, &attributes, be_member, own) != 0)
            break;
    }
    pthread_attr_destroy(&attributes);
}

static UNUSED void dismiss_team(team *t)
{
    announce(t, NULL, 0, 0);
    for (size_t k = 1; k < t->count; k++)
        pthread_join(t->members[k].thread, NULL);
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
}

/* Adds the sums of all chunks of a batch, computed by a team, to totals, in the order of the chunks. Returns 1 if
   stopped. */
static UNUSED int sum_by_team(team *t, const batch *work, double *totals, NN(poll) *poll)
{
    const size_t chunks = chunks_of(work);
    for (size_t first = 0; first < chunks; first += t->count) {
        announce(t, work, first, chunks);
        do_share(t, t->members);
        await_members(t);
        for (size_t k = 0; k < t->count && first + k < chunks; k++)
            add_sums(work, t->members[k].m, totals);
        if (stopped(poll, (double) OPERATIONS*CHUNK))
            return 1;
    }
    return 0;
}
#else
typedef struct { size_t count; } team;

static UNUSED void gather_team(team *t, size_t threads, char *work)
{
    (void) threads;
    (void) work;
    t->count = 1;
}

static UNUSED void dismiss_team(team *t)
{
    (void) t;
}

static UNUSED int sum_by_team(team *t, const batch *work, double *totals, NN(poll) *poll)
{
    (void) t;
    (void) work;
    (void) totals;
    return stopped(poll, 0);
}
#endif

#endif
