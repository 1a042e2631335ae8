/* What a team of threads sums up has the same bits as what one sums up, whatever the number of its members; and so have
   trainings. */

#include "check.h"
#include "sample_kernels.h"

#include "nncodegen/training.h"

enum { SAMPLES = 2500, MOST_THREADS = 8, SUMS_OF_BATCH = GRADIENT_SUMS + ALL_SUMS };

static real inputs[SAMPLES*INPUTS], targets[SAMPLES*TARGETS], weights[SAMPLES], parameters[PARAMETERS];

/* Numbers between -1 and 1, the same in every run. */
static void fill_randomly(real *values, size_t count, uint64_t state)
{
    for (size_t k = 0; k < count; k++)
        values[k] = (real) ((double) random_number(&state)/9223372036854775808.0 - 1);
}

static batch batch_of_all(size_t samples, int forward)
{
    batch all = {.forward = forward, .metrics = 7, .parameters = parameters, .inputs = inputs, .targets = targets,
        .weights = weights, .samples = samples, .total = (double) samples};
    all.noise = (randomness) {noise_of_update(3, samples), 1};
    return all;
}

static void *work_for(size_t threads)
{
    void *const work = malloc(threads*size_of_work());
    CHECK(work);
    return work;
}

/* The sums of batches, one after the other, by a team of threads. */
static void sum_by_threads(size_t threads)
{
    void *const work = work_for(threads), *const own = work_for(1);
    static const size_t sizes[] = {CHUNK + 1, SAMPLES, 2*CHUNK, SAMPLES - 7};
    memory m = carve(own);
    team t;
    clear(m);
    gather_team(&t, threads, work);
    CHECK(t.count == threads);
    for (size_t round = 0; round < 20; round++) {
        const batch all = batch_of_all(sizes[round%4], round%3 == 0);
        double sums[SUMS_OF_BATCH] = {0}, expected[SUMS_OF_BATCH] = {0};
        begin_case("%zu samples by %zu threads", all.samples, threads);
        CHECK(chunks_of(&all) > 1);
        prepare_batch(&all, m);
        for (size_t chunk = 0; chunk < chunks_of(&all); chunk++) {
            CHECK(sum_chunk(&all, m, chunk, NULL) == 0);
            add_sums(&all, m, expected);
        }
        CHECK(sum_by_team(&t, &all, sums, NULL) == 0);
        CHECK(memcmp(sums, expected, sizeof sums) == 0);
        CHECK(sums[GRADIENT_SUMS] > 0); /* the loss */
    }
    dismiss_team(&t);
    free(work);
    free(own);
}

static int always(void *context)
{
    (void) context;
    return 1;
}

/* A team that is asked to end does so, and goes on with the next batch. */
static void stop_a_team(void)
{
    begin_case("a team is stopped");
    void *const work = work_for(3);
    team t;
    gather_team(&t, 3, work);
    const batch all = batch_of_all(SAMPLES, 0);
    double sums[SUMS_OF_BATCH] = {0};
    NN(poll) poll = {.stop = always, .spent = 1e9};
    CHECK(sum_by_team(&t, &all, sums, &poll) == 1);
    CHECK(sum_by_team(&t, &all, sums, NULL) == 0);
    dismiss_team(&t);
    free(work);
}

/* The parameters after a training by large batches with noise, in the given order, by some threads. */
static void train_by(size_t threads, real *trained, double *history)
{
    static real state[STATE*PARAMETERS];
    static size_t order[SAMPLES];
    const double options[OPTIONS] = {0.1, 0.9, 0.999, 1e-8};
    void *const work = work_for(threads);
    memcpy(trained, parameters, sizeof parameters);
    memset(state, 0, sizeof state);
    NN(training) run = {.data = {.inputs = inputs, .targets = targets, .samples = SAMPLES, .weights = weights},
        .batch = SAMPLES - 300, .optimizer = 5, .options = options, .shuffle = 1, .seed = 4, .threads = threads,
        .until = 5, .monitor = -1, .parameters = trained, .state = state, .work = work, .order = order, .random = 1,
        .best_figure = HUGE_VAL, .history = history, .columns = 1};
    NN(train)(&run);
    CHECK(run.status == NN(COMPLETED));
    free(work);
}

int main(void)
{
    real one[PARAMETERS], several[PARAMETERS];
    double history[5], other_history[5];
    fill_randomly(inputs, SAMPLES*INPUTS, 1);
    fill_randomly(targets, SAMPLES*TARGETS, 2);
    fill_randomly(parameters, PARAMETERS, 3);
    for (size_t n = 0; n < SAMPLES; n++)
        weights[n] = (real) (1 + n%3);
    train_by(1, one, history);
    CHECK(memcmp(one, parameters, sizeof one) != 0);
    for (size_t threads = 1; threads <= MOST_THREADS; threads = threads < 3 ? threads + 1 : 2*threads - 1) {
        sum_by_threads(threads);
        train_by(threads, several, other_history);
        begin_case("a training by %zu threads", threads);
        CHECK(memcmp(one, several, sizeof one) == 0);
        CHECK(memcmp(history, other_history, sizeof history) == 0);
    }
    stop_a_team();
    return 0;
}
