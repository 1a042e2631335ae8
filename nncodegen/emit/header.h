/* @MARK@. Do not edit: change the model and build it again. */

#ifndef @name@_H
#define @name@_H

#include <stddef.h>
#include <stdint.h>

/* How a call is stopped: stop(context) is asked now and then, and a result other than 0 ends the call. */
typedef struct {
    int (*stop)(void *context); /* may be NULL */
    void *context;
    double spent; /* operations since the clock was read; 0 at first */
    double asked; /* when stop was asked; 0 at first */
} @name@_poll;

enum { @name@_COMPLETED, @name@_CONVERGED, @name@_DIVERGED, @name@_INTERRUPTED };

typedef struct {
    /* What to train on: samples rows of inputs and of targets. */
    const @real@ *inputs;
    const @real@ *targets;
    size_t samples;
    size_t batch;
    /* How. */
    int optimizer;
    const double *options;
    double tolerance; /* stop when no parameter changed by as much in an epoch; 0: never */
    int shuffle;
    int sequential; /* update one parameter at a time */
    uint64_t random; /* the state of the random numbers */
    size_t until; /* return when so many epochs are done */
    @name@_poll poll;
    /* Memory: of PARAMETERS values each, the last of @name@_state_size(); @name@_work_size() bytes; samples. */
    @real@ *parameters;
    @real@ *next;
    @real@ *gradient;
    @real@ *state;
    void *work;
    size_t *order; /* 0, 1, ... at first; may be NULL without shuffle */
    /* What came out: the losses of the epochs from the one at which the call began. */
    double *history;
    size_t epochs;
    double updates;
    int status;
} @name@_training;

/* The bytes of work memory that every call needs. */
size_t @name@_work_size(void);

/* The values of state that the optimizers need, 0 at first. */
size_t @name@_state_size(void);

/* The number of the first value that is not finite; count if all are. */
size_t @name@_first_not_finite(const @real@ *values, size_t count);

/* Outputs, row by row. Returns 0, or 1 if stopped. */
int @name@_predict(const @real@ *parameters, const @real@ *inputs, size_t samples, void *work, @real@ *outputs,
    @name@_poll *poll);

/* Outputs of a few rows, 1 to @name@_FEW, which agree with those above to rounding. Returns 0, and computes nothing,
   where a value is not finite; else 1. */
enum { @name@_FEW = 4 };

int @name@_predict_few(const @real@ *parameters, const @real@ *inputs, size_t samples, void *work, @real@ *outputs);

/* The mean loss; weights may be NULL. Returns 0, or 1 if stopped. */
int @name@_loss(const @real@ *parameters, const @real@ *inputs, const @real@ *targets, const @real@ *weights,
    size_t samples, void *work, double *loss, @name@_poll *poll);

/* The mean loss and its gradient; weights may be NULL. Returns 0, or 1 if stopped. */
int @name@_loss_and_gradient(const @real@ *parameters, const @real@ *inputs, const @real@ *targets,
    const @real@ *weights, size_t samples, void *work, double *loss, @real@ *gradient, @name@_poll *poll);

@MANY@typedef struct {
@MANY@    /* What to train on: the inputs and targets of a model lie so many values behind those of the one before it, or,
@MANY@       where that is 0, are the same for all. */
@MANY@    const @real@ *inputs;
@MANY@    const @real@ *targets;
@MANY@    size_t input_stride;
@MANY@    size_t target_stride;
@MANY@    size_t samples;
@MANY@    size_t batch;
@MANY@    /* How. The learning rate among the options is not used. */
@MANY@    int optimizer;
@MANY@    const double *options;
@MANY@    const double *learning_rates; /* of each model */
@MANY@    double tolerance;
@MANY@    int shuffle;
@MANY@    uint64_t *random; /* of each model */
@MANY@    size_t epochs;
@MANY@    @name@_poll poll;
@MANY@    size_t models;
@MANY@    size_t first; /* the call trains the models first <= m < last; first is a multiple of @name@_MODELS */
@MANY@    size_t last;
@MANY@    /* Memory: @name@_many_size() bytes, and @name@_MODELS orders of the samples (may be NULL without shuffle). */
@MANY@    void *work;
@MANY@    size_t *order;
@MANY@    /* What comes out for each model; parameters[model][parameter] are given; history[epoch][model]. */
@MANY@    @real@ *parameters;
@MANY@    double *loss;
@MANY@    double *history;
@MANY@    uint64_t *done; /* completed epochs, 0 at first */
@MANY@    int *status; /* @name@_COMPLETED at first */
@MANY@} @name@_many;
@MANY@
@MANY@/* The models of a group, which are trained side by side. */
@MANY@enum { @name@_MODELS = 256/sizeof(@real@) };
@MANY@
@MANY@size_t @name@_many_size(void);
@MANY@
@MANY@/* Trains models from their parameters on. Returns 0, or 1 if stopped. */
@MANY@int @name@_train_many(@name@_many *run);
@MANY@
/* Trains from run->epochs to run->until. The parameters are those after the last completed update. */
void @name@_train(@name@_training *run);

#endif
