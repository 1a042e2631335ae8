
/* --- metrics --- */

/* How many of the targets of a sample are met, 0 to 1: the largest of the classes, or each output on the side of the
   threshold where its target is. */
static double right(const real *output, const real *target)
{
    if (LABELS) {
        size_t found = 0, meant = 0;
        for (size_t k = 1; k < OUTPUTS; k++) {
            found = output[k] > output[found] ? k : found;
            meant = target[k] > target[meant] ? k : meant;
        }
        return found == meant;
    }
    size_t met = 0;
    for (size_t k = 0; k < OUTPUTS; k++)
        met += (output[k] > (real) @THRESHOLD@) == (target[k] > (real) 0.5);
    return (double) met/OUTPUTS;
}

/* Accuracy, mean absolute error, and R2 (the mean over outputs), on all samples. Needs as many targets as outputs.
   Returns 1 if stopped. */
static int measure(const real *parameters, const @name@_data *data, memory m, real *outputs, double *metrics,
    @name@_poll *poll)
{
    double met = 0, distance = 0, squares[OUTPUTS] = {0};
    for (size_t first = 0; first < data->samples; first += TILE) {
        const size_t count = data->samples - first < TILE ? data->samples - first : TILE;
        fill(m, NULL, NULL, 1, first, count);
        predict_tile(parameters, data->inputs, NULL, m.rows, m.weights, count, m.arrays, outputs);
        for (size_t n = 0; n < count; n++) {
            const real *const output = outputs + n*OUTPUTS, *const target = data->targets + (first + n)*OUTPUTS;
            const double weight = data->counts ? (double) data->counts[first + n] : 1;
            met += weight*right(output, target);
            for (size_t k = 0; k < OUTPUTS; k++) {
                const double error = (double) output[k] - (double) target[k];
                distance += weight*fabs(error);
                squares[k] += weight*error*error;
            }
        }
        if (stopped(poll, (double) COST*(double) count))
            return 1;
    }
    double explained = 0;
    for (size_t k = 0; k < OUTPUTS; k++) {
        if (data->spread[k] > 0)
            explained += 1 - squares[k]/data->spread[k];
        else
            explained += squares[k] == 0; /* a target that is the same everywhere is explained, or not */
    }
    const double total = total_weight(data->counts, data->samples);
    metrics[@name@_ACCURACY] = met/total;
    metrics[@name@_MEAN_ABSOLUTE_ERROR] = distance/OUTPUTS/total;
    metrics[@name@_R2] = explained/OUTPUTS;
    return 0;
}
