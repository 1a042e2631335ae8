/* Calls every entry point of a generated kernel, whose header is included before: with all that the header knows, and
   with NULL wherever it allows that, which must give the same bits. Memory is not initialized unless the header asks for
   zeros, so that Valgrind tells what is read before it is written. MODEL is the kernel's name, REAL its type, sizes.h tells
   of the model, MANY and GEMM are defined where it trains many models and calls BLAS. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sizes.h"

#define PASTE(a, b) a##_##b
#define EXPAND(a, b) PASTE(a, b)
#define CALL(name) EXPAND(MODEL, name)

enum { ROWS = 45, EPOCHS = 3, TEAM = 2, GROUP = 3, MOST_OPTIONS = sizeof rules[0]/sizeof(double) };

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void *memory(size_t bytes)
{
    void *found = malloc(bytes + 1);
    if (!found)
        fail("no memory");
    return found;
}

static void *zeros(size_t bytes)
{
    return memset(memory(bytes), 0, bytes);
}

static REAL *numbers(size_t count, unsigned step)
{
    REAL *values = memory(count*sizeof(REAL));
    for (size_t k = 0; k < count; k++)
        values[k] = (REAL) ((double) ((k + 1)*step%97)/97 - 0.4);
    return values;
}

/* Whether values are the same bits; a branch on each of them, so that Valgrind looks at it. */
static void compare(const char *what, const REAL *one, const REAL *other, size_t count)
{
    for (size_t k = 0; k < count; k++)
        if (!(one[k] == other[k] || (isnan(one[k]) && isnan(other[k]))))
            fail(what);
}

static int never(void *context)
{
    ++*(size_t *) context;
    return 0;
}

#ifdef GEMM
/* A product of matrices as BLAS has it, column by column. */
static void gemm(char *transa, char *transb, int *m, int *n, int *k, REAL *alpha, REAL *a, int *lda, REAL *b, int *ldb,
    REAL *beta, REAL *c, int *ldc)
{
    for (int i = 0; i < *m; i++) {
        for (int j = 0; j < *n; j++) {
            REAL sum = 0;
            for (int l = 0; l < *k; l++)
                sum += (*transa == 'N' ? a[i + l**lda] : a[l + i**lda])*(*transb == 'N' ? b[l + j**ldb] : b[j + l**ldb]);
            REAL *const to = c + i + j**ldc;
            *to = *alpha*sum + (*beta < 0 || *beta > 0 ? *beta**to : 0);
        }
    }
}
#endif

static REAL *trained(const REAL *p, const REAL *x, const REAL *y, int optimizer, size_t batch, int sequential, int bare)
{
    static size_t asked;
    static REAL ones[ROWS];
    for (size_t n = 0; n < ROWS; n++)
        ones[n] = 1;
    static double spread[TARGETS + 1];
    const size_t team = bare ? 1 : TEAM;
    CALL(training) run = {
        .data = {.inputs = x, .targets = y, .samples = ROWS}, .batch = batch, .optimizer = optimizer,
        .options = rules[optimizer], .threads = team, .until = EPOCHS, .monitor = -1, .columns = 1,
        .sequential = sequential, .best_figure = HUGE_VAL,
    };
    run.history = memory(EPOCHS*CALL(COLUMNS)*sizeof(double));
    run.work = memory(team*CALL(work_size)());
    run.parameters = memory(PARAMETERS*sizeof(REAL));
    memcpy(run.parameters, p, PARAMETERS*sizeof(REAL));
    if (!bare || variables[optimizer])
        run.state = zeros(CALL(state_size)()*sizeof(REAL));
    if (!bare) { /* more is measured, which changes no parameter */
        run.data.counts = ones;
        run.data.spread = spread;
        run.validation = run.data;
        run.order = memory(ROWS*sizeof(size_t));
        run.best = memory(PARAMETERS*sizeof(REAL));
        run.measures = zeros(CALL(measures_size)()*sizeof(double));
        run.columns = CALL(COLUMNS);
        run.monitor = CALL(VALIDATION_LOSS);
        run.poll = (CALL(poll)) {.stop = never, .context = &asked};
    }
    CALL(train)(&run);
    if (run.status != CALL(COMPLETED))
        fail("a training did not complete");
    for (size_t k = 0; k < EPOCHS; k++)
        if (!isfinite(run.history[k*run.columns]))
            fail("a loss is not finite");
    return run.parameters;
}

#ifdef MANY
static REAL *trained_many(const REAL *p, const REAL *x, const REAL *y, int optimizer, size_t batch, int bare)
{
    static size_t asked;
    double rates[GROUP], *const initial = zeros(8*GROUP*sizeof(double));
    for (size_t m = 0; m < GROUP; m++)
        rates[m] = rules[optimizer][0];
    CALL(many) run = {
        .inputs = x, .targets = y, .samples = ROWS, .batch = batch, .optimizer = optimizer, .options = rules[optimizer],
        .learning_rates = rates, .epochs = EPOCHS, .models = GROUP, .last = GROUP,
    };
    run.work = memory(CALL(many_size)());
    run.loss = memory(GROUP*sizeof(double));
    run.done = zeros(GROUP*sizeof(uint64_t));
    run.status = zeros(GROUP*sizeof(int));
    run.parameters = memory(GROUP*PARAMETERS*sizeof(REAL));
    for (size_t k = 0; k < GROUP*PARAMETERS; k++)
        run.parameters[k] = p[k%PARAMETERS];
    if (!bare) {
        run.initial_state = initial;
        run.random = zeros(GROUP*sizeof(uint64_t));
        run.order = memory(ROWS*CALL(many_models)()*sizeof(size_t));
        run.history = memory(EPOCHS*GROUP*sizeof(double));
        run.poll = (CALL(poll)) {.stop = never, .context = &asked};
    }
    if (CALL(train_many)(&run))
        fail("the training of many models was stopped");
    for (size_t m = 0; m < GROUP; m++)
        if (run.status[m] != CALL(COMPLETED) || !isfinite(run.loss[m]))
            fail("the training of many models did not complete");
    return run.parameters;
}
#endif

int main(void)
{
    REAL *const p = numbers(PARAMETERS, 29), *const x = INPUTS ? numbers(ROWS*INPUTS, 31) : NULL,
        *const y = TARGETS ? zeros(ROWS*TARGETS*sizeof(REAL)) : NULL, *const ones = numbers(ROWS, 1);
    for (size_t n = 0; n < ROWS; n++)
        ones[n] = 1;
    for (size_t n = 0; n < ROWS && TARGETS > 0; n++)
        y[n*TARGETS + n%(TARGETS + !TARGETS)] = 1; /* a class, or 1 */
    void *const work = memory(CALL(work_size)());
#ifdef GEMM
    CALL(use_gemm)(NULL);
    CALL(use_gemm)(gemm);
#endif
    if (!CALL(use)(CALL(variant)()) || CALL(first_not_finite)(p, PARAMETERS) != PARAMETERS || !CALL(operations_per_sample)())
        fail("what a kernel says of itself is wrong");
    size_t asked = 0;
    CALL(poll) poll = {.stop = never, .context = &asked}, quiet = {.stop = NULL};
    REAL *const found = memory(ROWS*OUTPUTS*sizeof(REAL)), *const same = memory(ROWS*OUTPUTS*sizeof(REAL));
    REAL *const slope = memory(PARAMETERS*sizeof(REAL)), *const slope_again = memory(PARAMETERS*sizeof(REAL));
    for (size_t rows = 1; rows <= ROWS; rows += rows < 9 ? 1 : 18) {
        if (CALL(predict)(p, x, rows, work, found, &poll) || CALL(predict)(p, x, rows, work, same, NULL))
            fail("predict was stopped");
        compare("predict", found, same, rows*OUTPUTS);
        if (rows <= CALL(FEW) && !CALL(predict_few)(p, x, rows, work, found))
            fail("predict_few found values that are not finite");
        compare("predict_few", found, found, rows*OUTPUTS);
        double loss, again, with_slope, with_slope_again;
        if (CALL(loss)(p, x, y, ones, rows, work, &loss, &quiet) || CALL(loss)(p, x, y, NULL, rows, work, &again, NULL)
            || CALL(loss_and_gradient)(p, x, y, ones, rows, work, &with_slope, slope, &poll)
            || CALL(loss_and_gradient)(p, x, y, NULL, rows, work, &with_slope_again, slope_again, NULL))
            fail("the loss was stopped");
        compare("the gradient", slope, slope_again, PARAMETERS);
        if (!isfinite(loss) || loss - again != 0 || with_slope - with_slope_again != 0)
            fail("the loss");
    }
    const size_t batches[] = {1, 4, ROWS};
    for (size_t k = 0; k < sizeof rules/sizeof *rules; k++) {
        for (size_t b = 0; b < sizeof batches/sizeof *batches; b++) {
            for (int sequential = 0; sequential <= (k == 0 && b > 1 && PARAMETERS < 99); sequential++)
                compare("train", trained(p, x, y, (int) k, batches[b], sequential, 0),
                    trained(p, x, y, (int) k, batches[b], sequential, 1), PARAMETERS);
#ifdef MANY
            compare("train_many", trained_many(p, x, y, (int) k, batches[b], 0),
                trained_many(p, x, y, (int) k, batches[b], 1), GROUP*PARAMETERS);
#endif
        }
    }
    return 0;
}
