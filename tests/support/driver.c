/* Calls the entry points of a generated kernel, whose header is included before. MODEL is its name, REAL its type, MANY
   is defined where it trains many models. The file DATA holds numbers in float64: eight sizes, the learning rate, then
   parameters, inputs, targets and the learning rates of many models. RESULT gets, in float64: the outputs, those of the
   first rows again by predict_few, the loss twice, the gradient, and parameters and losses after a training on one
   thread, on several, and of many models. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PASTE(a, b) a##_##b
#define EXPAND(a, b) PASTE(a, b)
#define CALL(name) EXPAND(MODEL, name)

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void *memory(size_t bytes)
{
    void *found = calloc(bytes + 1, 1);
    if (!found)
        fail("no memory");
    return found;
}

static REAL *numbers(FILE *file, size_t count)
{
    REAL *values = memory(count*sizeof(REAL));
    for (size_t k = 0; k < count; k++) {
        double value;
        if (fread(&value, sizeof value, 1, file) != 1)
            fail("the data end too early");
        values[k] = (REAL) value;
    }
    return values;
}

static size_t size(FILE *file)
{
    double value;
    if (fread(&value, sizeof value, 1, file) != 1)
        fail("the data end too early");
    return (size_t) value;
}

static void tell(FILE *file, const REAL *values, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        const double value = (double) values[k];
        fwrite(&value, sizeof value, 1, file);
    }
}

int main(int count, char **arguments)
{
    if (count != 3)
        fail("usage: driver DATA RESULT");
    FILE *data = fopen(arguments[1], "rb"), *result = fopen(arguments[2], "wb");
    if (!data || !result)
        fail("a file cannot be opened");
    const size_t parameters = size(data), inputs = size(data), targets = size(data), outputs = size(data),
        samples = size(data), epochs = size(data), threads = size(data), models = size(data);
    double rate;
    if (fread(&rate, sizeof rate, 1, data) != 1)
        fail("the data end too early");
    REAL *const p = numbers(data, parameters), *const x = numbers(data, samples*inputs),
        *const y = numbers(data, samples*targets);
    void *const work = memory(threads*CALL(work_size)());
    CALL(poll) poll = {0};

    REAL *const found = memory(samples*outputs*sizeof(REAL));
    if (CALL(predict)(p, x, samples, work, found, &poll))
        fail("predict was stopped");
    tell(result, found, samples*outputs);
    const size_t few = samples < CALL(FEW) ? samples : CALL(FEW);
    if (!CALL(predict_few)(p, x, few, work, found))
        fail("predict_few found values that are not finite");
    tell(result, found, few*outputs);
    double loss, again;
    REAL *const gradient = memory(parameters*sizeof(REAL));
    if (CALL(loss)(p, x, y, NULL, samples, work, &loss, &poll)
        || CALL(loss_and_gradient)(p, x, y, NULL, samples, work, &again, gradient, &poll))
        fail("the loss was stopped");
    fwrite(&loss, sizeof loss, 1, result);
    fwrite(&again, sizeof again, 1, result);
    tell(result, gradient, parameters);

    double *const history = memory(epochs*(models + 1)*sizeof(double));
    double options[8] = {0};
    options[0] = rate;
    for (size_t team = 1; team <= threads; team += threads - 1) {
        CALL(training) run = {
            .data = {.inputs = x, .targets = y, .samples = samples}, .batch = samples, .options = options,
            .threads = team, .until = epochs, .monitor = -1, .work = work, .history = history, .columns = 1,
            .best_figure = HUGE_VAL,
        };
        run.parameters = memory(parameters*sizeof(REAL));
        run.best = memory(parameters*sizeof(REAL));
        run.state = memory(CALL(state_size)()*sizeof(REAL));
        for (size_t k = 0; k < parameters; k++)
            run.parameters[k] = p[k];
        CALL(train)(&run);
        if (run.status != CALL(COMPLETED) || run.epochs != epochs)
            fail("the training did not complete");
        tell(result, run.parameters, parameters);
        fwrite(history, sizeof *history, epochs, result);
    }
#ifdef MANY
    double *const rates = memory(models*sizeof(double));
    if (fread(rates, sizeof *rates, models, data) != models)
        fail("the data end too early");
    CALL(many) group = {
        .inputs = x, .targets = y, .samples = samples, .batch = samples, .options = options, .learning_rates = rates,
        .epochs = epochs, .models = models, .last = models, .history = history,
    };
    group.initial_state = memory(8*models*sizeof(double));
    group.work = memory(CALL(many_size)());
    group.random = memory(models*sizeof(uint64_t));
    group.loss = memory(models*sizeof(double));
    group.done = memory(models*sizeof(uint64_t));
    group.status = memory(models*sizeof(int));
    group.parameters = memory(models*parameters*sizeof(REAL));
    for (size_t k = 0; k < models*parameters; k++)
        group.parameters[k] = p[k%parameters];
    if (CALL(train_many)(&group))
        fail("the training of many models was stopped");
    for (size_t m = 0; m < models; m++)
        if (group.status[m] != CALL(COMPLETED) || group.done[m] != epochs)
            fail("the training of many models did not complete");
    tell(result, group.parameters, models*parameters);
    fwrite(history, sizeof *history, epochs*models, result);
#endif
    return fclose(result) != 0;
}
