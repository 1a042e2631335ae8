/* The functions that JavaScript calls to train a model, one epoch at a time. Between the calls, JavaScript keeps the
   results: the loss, whether the training is done, the parameters, and the state of the optimizer.

   Needs web_rows.h, shuffle.h, TARGETS, TRAIN_WORK, LABELS (whether targets may be class indices), ADD_GRADIENT, the
   model's function; and for its update rules: RULES, their number; RULE_NAMES, and RULE_LIST, the names as one text;
   DESCENT, whether a rule is plain gradient descent; HYPERPARAMETERS, the number of hyperparameters of all rules;
   USUAL, their default values for each rule, NAN if it has none of this name; OPTION_NAMES; GIVEN_OPTIONS, the
   options as arguments, and OPTIONS_GIVEN, their values; STATES, the most state variables for each parameter;
   FIRST_STATE, their initial values for each rule; and update_parameters(), which calls a rule. */

/* The shapes of three arrays as arguments, and as values. */
#define GIVEN_SHAPES size_t rows0, size_t length0, size_t rows1, size_t length1, size_t rows2, size_t length2
#define SHAPES_GIVEN {{rows0, length0}, {rows1, length1}, {rows2, length2}}

enum { LOSS, DONE, VALUES }; /* the values before the parameters */
enum { RESULT = VALUES + PARAMETERS + STATES*PARAMETERS };
enum { OPTIMIZER, UPDATE, LEARNING_RATE, EPOCHS, BATCH_SIZE, SHUFFLE, SEED, OPTIONS_OF_ALL };
enum { SIMULTANEOUS, SEQUENTIAL, FIRST_RULE }; /* the words that options may be, those of optimizers last */

struct training {
    const real *inputs, *targets;
    size_t samples, rule;
    int classes; /* whether targets are class indices */
    double options[OPTIONS_OF_ALL + HYPERPARAMETERS];
};

static const char *const option_names[] = OPTION_NAMES, *const rule_names[] = RULE_NAMES;

/* Writes an error message that consists of several texts. */
SMALL static int wrong_there(real *result, const char *const texts[4])
{
    char *end = write_text((char *) result, MODEL ": ");
    for (int part = 0; part < 4; part++)
        end = write_text(end, texts[part] ? texts[part] : "");
    return (int) ((char *) result - end);
}
#define WRONG(...) wrong_there(result, (const char *const[4]) {__VA_ARGS__})

/* Returns a whole number as a text. */
SMALL static const char *text_of(uint64_t number, char digits[24])
{
    char *first = digits + 23;
    *first = 0;
    do
        *--first = (char) ('0' + number%10);
    while (number /= 10);
    return first;
}

/* Returns whether an option is given: otherwise it is minus infinity. */
INLINE int is_given(double option)
{
    return !(option == -HUGE_VAL);
}

/* Returns the requirement that an option does not meet, as a text; NULL if it meets it. */
SMALL static const char *needed(size_t option, double value)
{
    const int whole = value >= 0 && value <= 9007199254740991.0 && (double) (uint64_t) value == value;
    if (option == EPOCHS || option == BATCH_SIZE)
        return whole && value >= 1 ? NULL : " must be a whole number from 1 on";
    if (option == SEED)
        return whole ? NULL : " must be a whole number from 0 on";
    return value >= 0 && value < HUGE_VAL ? NULL : " must be a number that is not negative";
}

/* Returns the index of the word that an option is, from -1 down, among the words that it may be: the first word if
   it is not given, -1 if it is none. */
SMALL static int number_of_word(double given, int first, int words)
{
    const double number = is_given(given) ? -1 - given - first : 0;
    return number >= 0 && number < words ? (int) number : -1;
}

/* Returns the default of an option; NAN if the rule has none of this name. */
SMALL static double usual(const struct training *training, size_t option)
{
    static const double of_rules[RULES][HYPERPARAMETERS + 1] = USUAL;
    switch (option) {
    case LEARNING_RATE: return 0.01;
    case EPOCHS: return 100;
    case BATCH_SIZE: return (double) training->samples;
    case SHUFFLE: return training->options[BATCH_SIZE] < (double) training->samples; /* batch_size is complete by
                                                                                        then */
    case SEED: return 0;
    default: return of_rules[training->rule][option - OPTIONS_OF_ALL];
    }
}

/* Checks the options, and completes them with the defaults. */
SMALL static int check_options(struct training *training, real *result)
{
    static const int descent[RULES] = DESCENT;
    double *const options = training->options;
    const int rule = number_of_word(options[OPTIMIZER], FIRST_RULE, RULES);
    const int update = number_of_word(options[UPDATE], SIMULTANEOUS, 2);
    if (rule < 0)
        return WRONG("optimizer must be one of: ", RULE_LIST);
    if (update < 0)
        return WRONG("update must be simultaneous or sequential");
    if (update == SEQUENTIAL && !descent[rule])
        return WRONG(rule_names[rule], " updates all parameters at once");
    training->rule = (size_t) rule;
    options[UPDATE] = update;
    for (size_t option = LEARNING_RATE; option < OPTIONS_OF_ALL + HYPERPARAMETERS; option++) {
        const double given = options[option], by_default = usual(training, option);
        if (!is_given(given))
            options[option] = by_default;
        else if (by_default != by_default)
            return WRONG(rule_names[rule], " has no option ", option_names[option]);
        else if (needed(option, given))
            return WRONG(option_names[option], needed(option, given));
    }
    return 0;
}

/* Checks the shapes of the data: the parameters or the results before, the inputs, and the targets. */
SMALL static int check_data(struct training *training, real *result, const struct shape shapes[3])
{
    char digits[2][24];
    const double given = rows_in(shapes[1], INPUTS);
    training->classes = LABELS && shapes[2].rows == 0 && (double) shapes[2].length == given;
    const double wanted = training->classes ? given : rows_in(shapes[2], TARGETS), samples = INPUTS ? given : wanted;
    training->inputs = __heap_base + numbers_in(shapes[0]);
    training->targets = training->inputs + numbers_in(shapes[1]);
    if (given < 0)
        return wrong(result, wrong_inputs);
    if (wanted < 0)
        return WRONG("targets are rows of " NUMBER(TARGETS) " numbers");
    if (result != training->targets + numbers_in(shapes[2]))
        return WRONG("rows must have the same length");
    if (samples < 1 || (TARGETS > 0 && samples != wanted))
        return WRONG("there are ", text_of((uint64_t) given, digits[0]), " rows of inputs, and of targets ",
            text_of((uint64_t) wanted, digits[1]));
    training->samples = (size_t) samples;
    for (size_t n = 0; training->classes && n < training->samples; n++) {
        const real class = training->targets[n];
        if (!(class >= 0 && class < TARGETS && class == (real) (size_t) class))
            return WRONG("classes are the numbers from 0 to ", text_of(TARGETS - 1, digits[0]));
    }
    return 0;
}

/* Reads and checks the training that JavaScript passes. */
SMALL static int read_training(struct training *training, real *result, const struct shape shapes[3], const double *options)
{
    for (size_t option = 0; option < OPTIONS_OF_ALL + HYPERPARAMETERS; option++)
        training->options[option] = options[option];
    const int problem = check_data(training, result, shapes);
    return problem ? problem : check_options(training, result);
}

/* Begins a training, from parameters. */
SMALL int begin_training(real *result, GIVEN_SHAPES, GIVEN_OPTIONS)
{
    const struct shape shapes[] = SHAPES_GIVEN;
    const double given[] = OPTIONS_GIVEN;
    struct training training;
    if (shapes[0].rows || shapes[0].length != PARAMETERS)
        return wrong(result, wrong_parameters);
    const int problem = read_training(&training, result, shapes, given);
    if (problem)
        return problem;
    if (!reserve(result, RESULT))
        return wrong(result, no_memory);
    const double *const options = training.options, first[RULES][STATES + 1] = FIRST_STATE;
    (void) options;
    result[LOSS] = result[DONE] = 0;
    for (size_t p = 0; p < PARAMETERS; p++) {
        result[VALUES + p] = __heap_base[p];
        for (size_t state = 0; state < STATES; state++)
            result[VALUES + (1 + state)*PARAMETERS + p] = (real) first[training.rule][state];
    }
    return RESULT;
}

/* Computes the mean loss of samples, which are given by their indices, and its gradient. Noise depends on the number
   of the update. */
SMALL static real batch_gradient(const struct training *training, const real *parameters, const size_t *order, size_t samples,
    double update, real *gradient, real *work)
{
    const uint64_t noise =
        (uint64_t) training->options[SEED]*UINT64_C(0xD1342543DE82EF95) + ((uint64_t) update << 32);
    real loss = 0, *const row = work + TRAIN_WORK;
    (void) noise;
    for (size_t p = 0; p < PARAMETERS; p++)
        gradient[p] = 0;
    for (size_t n = 0; n < samples; n++) {
        const real *const x = training->inputs + order[n]*INPUTS, *y = training->targets + order[n]*TARGETS;
        if (training->classes) {
            for (size_t k = 0; k < TARGETS; k++)
                row[k] = training->targets[order[n]] == (real) k;
            y = row;
        }
        loss += ADD_GRADIENT(parameters, x, y, 1/(real) samples, gradient, noise + n, work);
    }
    return loss;
}

/* Updates one parameter after the other by gradient descent, each with a new gradient. Returns the loss before. */
SMALL static real update_sequentially(const struct training *training, real *parameters, const size_t *order, size_t samples,
    double update, real *gradient, real *work)
{
    real loss = 0;
    for (size_t p = 0; p < PARAMETERS; p++) {
        const real now = batch_gradient(training, parameters, order, samples, update, gradient, work);
        loss = p == 0 ? now : loss;
        parameters[p] = -gradient[p]*(real) training->options[LEARNING_RATE] + parameters[p];
    }
    return loss;
}

/* Trains an epoch, given its number from 0 and the results before: uses every sample once. The loss is the mean over
   its batches, each before its update. */
SMALL int train_epoch(real *result, GIVEN_SHAPES, double epoch, GIVEN_OPTIONS)
{
    const struct shape shapes[] = SHAPES_GIVEN;
    const double given[] = OPTIONS_GIVEN;
    struct training training;
    const int problem = read_training(&training, result, shapes, given);
    if (problem)
        return problem;
    const size_t samples = training.samples;
    if (!reserve(result, RESULT + PARAMETERS + TRAIN_WORK + TARGETS + (double) samples))
        return wrong(result, no_memory);
    real *const parameters = result + VALUES, *const gradient = result + RESULT, *const work = gradient + PARAMETERS;
    const double *const options = training.options;
    const size_t batch = options[BATCH_SIZE] < (double) samples ? (size_t) options[BATCH_SIZE] : samples;
    size_t *const order = (size_t *) (work + TRAIN_WORK + TARGETS);
    double loss = 0, update = epoch*(double) ((samples + batch - 1)/batch);
    for (size_t k = 0; k < RESULT; k++)
        result[k] = __heap_base[k];
    for (size_t n = 0; n < samples; n++)
        order[n] = n;
    /* Every epoch before has drawn a number for every sample but one; each draw changes the state by the same
       amount. */
    uint64_t random = (uint64_t) options[SEED] + (uint64_t) epoch*(samples - 1)*UINT64_C(0x9E3779B97F4A7C15);
    if (options[SHUFFLE] != 0)
        shuffle(order, samples, &random);
    for (size_t first = 0; first < samples; first += batch) {
        const size_t count = samples - first < batch ? samples - first : batch;
        update++;
        if (options[UPDATE] == SEQUENTIAL)
            loss += (double) (count
                *update_sequentially(&training, parameters, order + first, count, update, gradient, work));
        else {
            loss += (double) (count*batch_gradient(&training, parameters, order + first, count, update, gradient, work));
            real *const state = parameters + PARAMETERS;
            update_parameters(training.rule, parameters, gradient, state, (unsigned long) update, options);
        }
    }
    char digits[24];
    for (size_t p = 0; p < PARAMETERS; p++)
        if (parameters[p] - parameters[p] != 0)
            return WRONG("the training diverged in epoch ", text_of((uint64_t) epoch + 1, digits), ": lower learningRate");
    result[LOSS] = (real) (loss/(double) samples);
    result[DONE] = epoch + 1 >= options[EPOCHS];
    return RESULT;
}
