/* Work memory: the sums, the gradient, the parameters of a training and the next ones, the rows and weights of a tile,
   and the arrays of the kernels. The whole sums are those that a tile adds to itself: where the gradient has them, or
   behind it. */
typedef struct {
    double *sums;
    double *totals;
    real *gradient;
    real *parameters;
    real *next;
    real *counts;
    real *partials;
    real *inputs;
    real *targets;
    real *weights;
    real *arrays;
    @NOISE@size_t *rows;
    @WHOLE_ROWS@real *outputs;
} memory;

/* Values for a gradient, or parameters, with the whole sums, and what the longest vector at the end of a row has behind
   them. */
enum { ROOM = (PARAMETERS > WHOLE ? PARAMETERS : WHOLE) + 64/sizeof(real) };

static size_t padded_bytes(size_t bytes)
{
    return (bytes + 63)/64*64;
}

static memory carve(void *work)
{
    char *next = (char *) (((uintptr_t) work + 63)/64*64);
    memory m;
    m.sums = (double *) next;
    next += padded_bytes((ALL_SUMS + 1)*sizeof(double));
    m.totals = (double *) next;
    next += padded_bytes((WHOLE + ALL_SUMS + 1)*sizeof(double));
    m.gradient = (real *) next;
    next += padded_bytes(ROOM*sizeof(real));
    m.parameters = (real *) next;
    next += padded_bytes(ROOM*sizeof(real));
    m.next = (real *) next;
    next += padded_bytes(ROOM*sizeof(real));
    m.counts = (real *) next;
    next += padded_bytes(TILE*sizeof(real));
    m.partials = (real *) next;
    next += padded_bytes((PARTIALS + 3*LANES)*sizeof(real));
    m.inputs = (real *) next;
    next += padded_bytes((TILE*INPUTS + 1)*sizeof(real));
    m.targets = (real *) next;
    next += padded_bytes((TILE*TARGETS + 1)*sizeof(real));
    m.weights = (real *) next;
    next += padded_bytes(TILE*sizeof(real));
    @NOISE@m.rows = (size_t *) next;
    @NOISE@next += padded_bytes(TILE*sizeof(size_t));
    @WHOLE_ROWS@m.outputs = (real *) next;
    @WHOLE_ROWS@next += padded_bytes(ABREAST*OUTPUTS*sizeof(real));
    m.arrays = (real *) next;
    return m;
}

static void clear(memory m)
{
    const size_t whole = WHOLE;
    for (size_t k = 0; k < whole; k++)
        m.gradient[k] = 0;
    for (size_t k = 0; k < PARTIALS + 3*LANES; k++)
        m.partials[k] = 0;
    /* what vectors at the end of all parameters read behind them, and nothing hangs on */
    for (size_t k = PARAMETERS; k < ROOM; k++)
        m.parameters[k] = m.next[k] = 0;
}

const char *@name@_variant(void)
{
#if defined(__AVX512F__)
    return "avx512";
#elif defined(__AVX2__)
    return "avx2";
#elif defined(__aarch64__)
    return "neon";
#else
    return "plain";
#endif
}

int @name@_use(const char *variant)
{
    return strcmp(variant, @name@_variant()) == 0; /* there is no other */
}

size_t @name@_work_size(void)
{
    return 64 + padded_bytes((ALL_SUMS + 1)*sizeof(double)) + padded_bytes((WHOLE + ALL_SUMS + 1)*sizeof(double))
        + 3*padded_bytes(ROOM*sizeof(real)) + padded_bytes((PARTIALS + 3*LANES)*sizeof(real))
        + padded_bytes((TILE*INPUTS + 1)*sizeof(real)) + padded_bytes((TILE*TARGETS + 1)*sizeof(real))
        @NOISE@+ padded_bytes(TILE*sizeof(size_t))
        @WHOLE_ROWS@+ padded_bytes(ABREAST*OUTPUTS*sizeof(real))
        + 2*padded_bytes(TILE*sizeof(real)) + padded_bytes((ARRAYS + 1)*sizeof(real));
}

size_t @name@_cost(void)
{
    return COST;
}

size_t @name@_state_size(void)
{
    return (size_t) STATE*PARAMETERS;
}

size_t @name@_measures_size(void)
{
    return MEASURES;
}

/* Whether all values are finite: the sum of their products with 0 is 0, and not NaN. Eight sums are under way at once,
   as each waits for its last addition. */
static int all_finite(const real *v, size_t count)
{
    const size_t part = count/8;
    real a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
    SUM_LOOP(a, b, c, d, e, f, g, h)
    for (size_t k = 0; k < part; k++) {
        a += v[k]*0;
        b += v[part + k]*0;
        c += v[2*part + k]*0;
        d += v[3*part + k]*0;
        e += v[4*part + k]*0;
        f += v[5*part + k]*0;
        g += v[6*part + k]*0;
        h += v[7*part + k]*0;
    }
    for (size_t k = 8*part; k < count; k++)
        a += v[k]*0;
    return (a + b + c + d) + (e + f + g + h) == 0;
}

size_t @name@_first_not_finite(const real *values, size_t count)
{
    if (all_finite(values, count))
        return count;
    const size_t step = 1024;
    size_t k = 0;
    while (k + step <= count && all_finite(values + k, step))
        k += step;
    while (k < count && isfinite(values[k]))
        k++;
    return k;
}

/* Whether the caller wants the call to end. The clock is read after some million operations, and the caller
   asked every 30 ms or so, since asking may mean to wait for a lock. */
static int stopped(@name@_poll *poll, double operations)
{
    if (!poll)
        return 0;
    poll->spent += operations;
    if (poll->spent < 1e6)
        return 0;
    poll->spent = 0;
    if (!poll->stop)
        return 0;
    struct timespec clock;
    timespec_get(&clock, TIME_UTC);
    const double now = (double) clock.tv_sec + 1e-9*(double) clock.tv_nsec;
    if (now - poll->asked < poll->interval && now >= poll->asked)
        return 0;
    poll->asked = now;
@FLUSH@    GRADUAL_UNDERFLOW
    return poll->stop(poll->context);
}

/* The samples of a tile: their inputs and targets row by row, and their weights. */
typedef struct {
    const real *inputs;
    const real *targets;
} tile;

static void copy_row(const real *from, real *to, size_t width)
{
    for (size_t k = 0; k < width; k++)
        to[k] = from[k];
}

/* The rows of so many samples from first on, in the given order or one after the other: where they are, if they lie side by
   side, or copied; (whole) also where they do not fill whole vectors, with the last again behind them. */
static const real *rows_of(const real *from, size_t width, const size_t *order, size_t first, size_t count, int whole,
    real *copied)
{
    const size_t end = whole ? (count + PAD - 1)/PAD*PAD : count;
    if (!from)
        return NULL;
    if (end == count && (!order || count == 1))
        return from + (order ? order[first] : first)*width;
    for (size_t n = 0; n < end; n++) {
        const size_t sample = first + (n < count ? n : count - 1);
        copy_row(from + (order ? order[sample] : sample)*width, copied + n*width, width);
    }
    return copied;
}

/* The tile of the samples from first on: from the given order, or one after the other. Those that pad it to whole vectors
   have weight 0. */
static tile fill(memory m, const real *inputs, const real *targets, const size_t *order, const real *weights,
    double total, size_t first, size_t count)
{
    const size_t end = (count + PAD - 1)/PAD*PAD;
    const real share = (real) (1/total);
    for (size_t n = 0; n < count; n++)
        m.weights[n] = weights ? (real) ((double) weights[order ? order[first + n] : first + n]/total) : share;
    for (size_t n = count; n < end; n++)
        m.weights[n] = 0;
    @NOISE@for (size_t n = 0; n < end; n++)
    @NOISE@    m.rows[n] = n >= count ? 0 : order ? order[first + n] : first + n;
    return (tile) {
        rows_of(inputs, INPUTS, order, first, count, WHOLE_INPUTS, m.inputs),
        rows_of(targets, TARGETS, order, first, count, WHOLE_TARGETS, m.targets),
    };
}

static double total_weight(const real *weights, size_t samples)
{
    if (!weights)
        return (double) samples;
    double total = 0;
    for (size_t n = 0; n < samples; n++)
        total += (double) weights[n];
    return total;
}

@NO_BLOCKS@/* The outputs of the rows of a tile. */
@NO_BLOCKS@static void predict_rows(const real *parameters, const real *inputs, size_t count, memory m, real *outputs)
@NO_BLOCKS@{
    @ANY_ROWS@predict_tile(parameters, inputs, NULL, m.weights, count, m.arrays, outputs);
    @WHOLE_ROWS@/* those that fill no vector, with the last again behind them: a row has the same bits alone as among others */
    @WHOLE_ROWS@const size_t whole = count/ABREAST*ABREAST;
    @WHOLE_ROWS@if (whole > 0)
    @WHOLE_ROWS@    predict_tile(parameters, inputs, NULL, m.weights, whole, m.arrays, outputs);
    @WHOLE_ROWS@for (size_t n = whole; n < whole + ABREAST && whole < count; n++)
    @WHOLE_ROWS@    copy_row(inputs + (n < count ? n : count - 1)*INPUTS, m.inputs + (n - whole)*INPUTS, INPUTS);
    @WHOLE_ROWS@if (whole < count) {
    @WHOLE_ROWS@    predict_tile(parameters, m.inputs, NULL, m.weights, ABREAST, m.arrays, m.outputs);
    @WHOLE_ROWS@    copy_row(m.outputs, outputs + whole*OUTPUTS, (count - whole)*OUTPUTS);
    @WHOLE_ROWS@}
@NO_BLOCKS@}
@NO_BLOCKS@
int @name@_predict(const real *parameters, const real *inputs, size_t samples, void *work, real *outputs,
    @name@_poll *poll)
{
    const memory m = carve(work);
    @PREDICT@predict_prepare(parameters, samples, m.arrays);
    for (size_t first = 0; first < samples; first += TILE) {
        const size_t count = samples - first < TILE ? samples - first : TILE;
        const tile present = fill(m, inputs, NULL, NULL, NULL, 1, first, count);
        @BLOCKS@predict_tile(parameters, present.inputs, NULL, m.weights, count, m.arrays, outputs + first*OUTPUTS);
        @NO_BLOCKS@predict_rows(parameters, present.inputs, count, m, outputs + first*OUTPUTS);
        if (stopped(poll, (double) COST*(double) count))
            return 1;
    }
    return 0;
}

int @name@_predict_few(const real *parameters, const real *inputs, size_t samples, void *work, real *outputs)
{
    if (!all_finite(parameters, PARAMETERS) || !all_finite(inputs, samples*INPUTS))
        return 0;
    const memory m = carve(work);
    @BLOCKS@for (size_t n = 0; n < samples; n++)
    @BLOCKS@    predict_row(parameters, inputs + n*INPUTS, m.arrays, outputs + n*OUTPUTS);
    @NO_BLOCKS@const tile present = fill(m, inputs, NULL, NULL, NULL, 1, 0, samples);
    @NO_BLOCKS@predict_rows(parameters, present.inputs, samples, m, outputs);
    return 1;
}

/* A batch of samples: those from begin on, in their order, whose weights are divided by their total. What is wanted of
   it is the loss, with the gradient unless it is forward, and the sums for metrics, where each sample has a count. */
typedef struct {
    int forward;
    int without_loss; /* with the gradient: the loss is not wanted, and no metrics */
    int metrics;
    const real *parameters;
    const real *inputs;
    const real *targets;
    const real *weights;
    const real *counts;
    const size_t *order;
    size_t begin;
    size_t samples;
    double total;
    real more; /* 0, or what sums are multiplied with and added to what is there, for a batch of one tile */
    @NOISE@randomness noise;
} batch;

/* The tiles whose sums are taken together: so few that single precision does not show in them. The sums of the chunks
   of a batch are added up in their order, so that it does not matter who computes them. */
enum { CHUNK = 4096/sizeof(real) > TILE ? 4096/sizeof(real)/TILE : 1 };

static size_t chunks_of(const batch *b)
{
    return (b->samples + TILE*CHUNK - 1)/(TILE*CHUNK);
}

static void prepare_batch(const batch *b, memory m)
{
    if (b->forward) {
        @LOSS@loss_prepare(b->parameters, b->samples, m.arrays);
    } else {
        @GRADIENT@gradient_prepare(b->parameters, b->samples, m.arrays);
    }
    (void) m;
}

/* Where the loss is among the sums. */
static size_t place_of_loss(const batch *b)
{
    return b->forward ? 0 : ACROSS;
}

/* The sums over the samples of a chunk. Returns 1 if stopped. */
static int sum_chunk(const batch *b, memory m, size_t chunk, @name@_poll *poll)
{
    const size_t begin = chunk*TILE*CHUNK, end = begin + TILE*CHUNK < b->samples ? begin + TILE*CHUNK : b->samples;
    const int alone = end - begin <= TILE; /* then the tile sets the other sums; of several tiles, flushing sets them */
    for (size_t k = b->forward || DIRECT ? 0 : ACROSS; k < ALL_SUMS; k++)
        m.sums[k] = 0;
    for (size_t first = begin; first < end; first += TILE) {
        const size_t count = end - first < TILE ? end - first : TILE;
        const tile present = fill(m, b->inputs, b->targets, b->order, b->weights, b->total, b->begin + first, count);
        for (size_t n = 0; b->metrics && n < count; n++)
            m.counts[n] = !b->counts ? 1 : b->counts[b->order ? b->order[b->begin + first + n] : b->begin + first + n];
        if (b->forward)
            loss_tile(b->parameters, present.inputs, present.targets, m.weights, count, m.arrays, m.sums, b->metrics,
                m.counts);
        else
            gradient_tile(b->parameters, present.inputs, present.targets, m.weights, count, m.arrays, !b->without_loss,
                alone, first > begin ? 1 : b->more, m.sums, m.gradient, m.partials, b->metrics, m.counts@NOISE_ARGUMENT@);
        if (stopped(poll, (double) COST*(double) count))
            return 1;
    }
    @BLOCKS@if (!b->forward && !alone)
    @BLOCKS@    flush(m.partials, m.sums);
    return 0;
}

/* Adds the sums of a chunk, the whole ones first. */
static HOT void add_sums(const batch *b, memory m, double *restrict totals)
{
    const size_t whole = b->forward ? 0 : WHOLE;
    for (size_t k = 0; k < whole; k++)
        totals[k] += (double) m.gradient[k];
    for (size_t k = 0; k < ALL_SUMS; k++)
        totals[WHOLE + k] += m.sums[k];
}
