/* The update rules of optimizers that every model has, printed from compiler/describe/optimizers.py: edit that file,
   and renew this one with pytest --update-golden.

   Needs base.h. Gives for each rule NAME_numbers, what is the same for all parameters in an update, NAME_prepare, which
   computes these, and NAME_step, which returns the next value of a parameter; and NN_RULES, the list of the rules,
   RULE(number, name, variables, linear): how many values of state each parameter has, and whether a parameter that is
   not finite always remains so. */

#ifndef NNCODEGEN_OPTIMIZERS_H
#define NNCODEGEN_OPTIMIZERS_H

#include "nncodegen/base/base.h"

/* Rules have the same arguments, and need not use all of them. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* sgd */
typedef struct {
    char none;
} sgd_numbers;

INLINE sgd_numbers sgd_prepare(const double *options, double t)
{
    return (sgd_numbers) {0};
}

INLINE real sgd_step(sgd_numbers numbers, real learning_rate, real parameter, real gradient,
    real *state, size_t stride)
{
    const real next_parameter_ = -gradient*learning_rate + parameter;
    return next_parameter_;
}

/* momentum */
typedef struct {
    real momentum_;
} momentum_numbers;

INLINE momentum_numbers momentum_prepare(const double *options, double t)
{
    const double momentum_ = options[1];
    return (momentum_numbers) {(real) momentum_};
}

INLINE real momentum_step(momentum_numbers numbers, real learning_rate, real parameter, real gradient,
    real *state, size_t stride)
{
    const real velocity_ = state[0];
    const real t1 = gradient + numbers.momentum_*velocity_;
    const real next_parameter_ = -learning_rate*t1 + parameter;
    state[0] = t1;
    return next_parameter_;
}

/* nesterov */
typedef struct {
    real momentum_;
} nesterov_numbers;

INLINE nesterov_numbers nesterov_prepare(const double *options, double t)
{
    const double momentum_ = options[1];
    return (nesterov_numbers) {(real) momentum_};
}

INLINE real nesterov_step(nesterov_numbers numbers, real learning_rate, real parameter, real gradient,
    real *state, size_t stride)
{
    const real velocity_ = state[0];
    const real t1 = gradient + numbers.momentum_*velocity_;
    const real t2 = gradient + numbers.momentum_*t1;
    const real next_parameter_ = -learning_rate*t2 + parameter;
    state[0] = t1;
    return next_parameter_;
}

/* adagrad */
typedef struct {
    real epsilon_, t3;
} adagrad_numbers;

INLINE adagrad_numbers adagrad_prepare(const double *options, double t)
{
    const double decay_ = options[1];
    const double epsilon_ = options[2];
    const double t1 = t - 1;
    const double t2 = decay_*t1 + 1;
    const double t3 = 1.0/t2;
    return (adagrad_numbers) {(real) epsilon_, (real) t3};
}

INLINE real adagrad_step(adagrad_numbers numbers, real learning_rate, real parameter, real gradient,
    real *state, size_t stride)
{
    const real accumulator_ = state[0];
    const real t4 = accumulator_ + gradient*gradient;
    const real t5 = root(t4);
    const real t6 = numbers.epsilon_ + t5;
    const real t7 = 1/t6;
    const real next_parameter_ = -gradient*learning_rate*numbers.t3*t7 + parameter;
    state[0] = t4;
    return next_parameter_;
}

/* rmsprop */
typedef struct {
    real rho_, epsilon_, t1;
} rmsprop_numbers;

INLINE rmsprop_numbers rmsprop_prepare(const double *options, double t)
{
    const double rho_ = options[1];
    const double epsilon_ = options[2];
    const double t1 = rho_ - 1;
    return (rmsprop_numbers) {(real) rho_, (real) epsilon_, (real) t1};
}

INLINE real rmsprop_step(rmsprop_numbers numbers, real learning_rate, real parameter, real gradient,
    real *state, size_t stride)
{
    const real v = state[0];
    const real t2 = -gradient*gradient*numbers.t1 + numbers.rho_*v;
    const real t3 = root(t2);
    const real t4 = numbers.epsilon_ + t3;
    const real t5 = 1/t4;
    const real next_parameter_ = -gradient*learning_rate*t5 + parameter;
    state[0] = t2;
    return next_parameter_;
}

/* adam */
typedef struct {
    real beta_1, beta_2, epsilon_, t3, t6, t7, t13;
} adam_numbers;

INLINE adam_numbers adam_prepare(const double *options, double t)
{
    const double beta_1 = options[1];
    const double beta_2 = options[2];
    const double epsilon_ = options[3];
    const double t1 = pow(beta_1, t);
    const double t2 = t1 - 1;
    const double t3 = -1/t2;
    const double t4 = pow(beta_2, t);
    const double t5 = t4 - 1;
    const double t6 = -1/t5;
    const double t7 = beta_2 - 1;
    const double t13 = beta_1 - 1;
    return (adam_numbers) {(real) beta_1, (real) beta_2, (real) epsilon_, (real) t3, (real) t6, (real) t7,
        (real) t13};
}

INLINE real adam_step(adam_numbers numbers, real learning_rate, real parameter, real gradient,
    real *state, size_t stride)
{
    const real m = state[0];
    const real v = state[stride];
    const real t8 = numbers.beta_2*v - gradient*gradient*numbers.t7;
    const real t9 = numbers.t6*t8;
    const real t10 = root(t9);
    const real t11 = numbers.epsilon_ + t10;
    const real t12 = 1/t11;
    const real t14 = numbers.beta_1*m - gradient*numbers.t13;
    const real next_parameter_ = -learning_rate*t12*t14*numbers.t3 + parameter;
    state[0] = t14;
    state[stride] = t8;
    return next_parameter_;
}

/* adamw */
typedef struct {
    real beta_1, beta_2, epsilon_, weight_decay_, t3, t6, t7, t13;
} adamw_numbers;

INLINE adamw_numbers adamw_prepare(const double *options, double t)
{
    const double beta_1 = options[1];
    const double beta_2 = options[2];
    const double epsilon_ = options[3];
    const double weight_decay_ = options[4];
    const double t1 = pow(beta_1, t);
    const double t2 = t1 - 1;
    const double t3 = -1/t2;
    const double t4 = pow(beta_2, t);
    const double t5 = t4 - 1;
    const double t6 = -1/t5;
    const double t7 = beta_2 - 1;
    const double t13 = beta_1 - 1;
    return (adamw_numbers) {(real) beta_1, (real) beta_2, (real) epsilon_, (real) weight_decay_, (real) t3,
        (real) t6, (real) t7, (real) t13};
}

INLINE real adamw_step(adamw_numbers numbers, real learning_rate, real parameter, real gradient,
    real *state, size_t stride)
{
    const real m = state[0];
    const real v = state[stride];
    const real t8 = numbers.beta_2*v - gradient*gradient*numbers.t7;
    const real t9 = numbers.t6*t8;
    const real t10 = root(t9);
    const real t11 = numbers.epsilon_ + t10;
    const real t12 = 1/t11;
    const real t14 = numbers.beta_1*m - gradient*numbers.t13;
    const real next_parameter_ = -learning_rate*parameter*numbers.weight_decay_ - learning_rate*t12*t14*numbers.t3 +
        parameter;
    state[0] = t14;
    state[stride] = t8;
    return next_parameter_;
}

/* nadam */
typedef struct {
    real beta_1, beta_2, epsilon_, t3, t4, t12, t15, t19, t22;
} nadam_numbers;

INLINE nadam_numbers nadam_prepare(const double *options, double t)
{
    const double beta_1 = options[1];
    const double beta_2 = options[2];
    const double epsilon_ = options[3];
    const double momentum_decay_ = options[4];
    const double t1 = pow(beta_2, t);
    const double t2 = t1 - 1;
    const double t3 = -1/t2;
    const double t4 = beta_2 - 1;
    const double t10 = momentum_decay_*t;
    const double t11 = pow(24.0/25.0, t10);
    const double t12 = (1.0/2.0)*t11 - 1;
    const double t15 = -beta_1*t12 - 1;
    const double t16 = t + 1;
    const double t17 = momentum_decay_*t16;
    const double t18 = pow(24.0/25.0, t17);
    const double t19 = (1.0/2.0)*t18 - 1;
    const double t22 = beta_1 - 1;
    return (nadam_numbers) {(real) beta_1, (real) beta_2, (real) epsilon_, (real) t3, (real) t4, (real) t12,
        (real) t15, (real) t19, (real) t22};
}

INLINE real nadam_step(nadam_numbers numbers, real learning_rate, real parameter, real gradient,
    real *state, size_t stride)
{
    const real m = state[0];
    const real v = state[stride];
    const real rest_ = state[2*stride];
    const real t5 = numbers.beta_2*v - gradient*gradient*numbers.t4;
    const real t6 = numbers.t3*t5;
    const real t7 = root(t6);
    const real t8 = numbers.epsilon_ + t7;
    const real t9 = 1/t8;
    const real t13 = -numbers.beta_1*rest_*numbers.t12 + numbers.beta_1*numbers.t12 + 1;
    const real t14 = 1/t13;
    const real t20 = -numbers.beta_1*t13*numbers.t19 + numbers.beta_1*numbers.t19 + 1;
    const real t21 = 1/t20;
    const real t23 = numbers.beta_1*m - gradient*numbers.t22;
    const real t24 = -numbers.beta_1*numbers.t19*t21*t23 - gradient*t14*numbers.t15;
    const real next_parameter_ = -learning_rate*t24*t9 + parameter;
    state[0] = t23;
    state[stride] = t5;
    state[2*stride] = t13;
    return next_parameter_;
}

/* adamax */
typedef struct {
    real beta_1, beta_2, epsilon_, t3, t9;
} adamax_numbers;

INLINE adamax_numbers adamax_prepare(const double *options, double t)
{
    const double beta_1 = options[1];
    const double beta_2 = options[2];
    const double epsilon_ = options[3];
    const double t1 = pow(beta_1, t);
    const double t2 = t1 - 1;
    const double t3 = -1/t2;
    const double t9 = beta_1 - 1;
    return (adamax_numbers) {(real) beta_1, (real) beta_2, (real) epsilon_, (real) t3, (real) t9};
}

INLINE real adamax_step(adamax_numbers numbers, real learning_rate, real parameter, real gradient,
    real *state, size_t stride)
{
    const real m = state[0];
    const real u = state[stride];
    const real t4 = numbers.beta_2*u;
    const real t5 = magnitude(gradient);
    const real t6 = numbers.epsilon_ + t5;
    const real t7 = maximum(t4, t6);
    const real t8 = 1/t7;
    const real t10 = numbers.beta_1*m - gradient*numbers.t9;
    const real next_parameter_ = -learning_rate*t10*numbers.t3*t8 + parameter;
    state[0] = t10;
    state[stride] = t7;
    return next_parameter_;
}

/* lion */
typedef struct {
    real beta_1, beta_2, t1, t4;
} lion_numbers;

INLINE lion_numbers lion_prepare(const double *options, double t)
{
    const double beta_1 = options[1];
    const double beta_2 = options[2];
    const double t1 = beta_1 - 1;
    const double t4 = beta_2 - 1;
    return (lion_numbers) {(real) beta_1, (real) beta_2, (real) t1, (real) t4};
}

INLINE real lion_step(lion_numbers numbers, real learning_rate, real parameter, real gradient,
    real *state, size_t stride)
{
    const real m = state[0];
    const real t2 = numbers.beta_1*m - gradient*numbers.t1;
    const real t3 = (t2 > 0 ? 1 : (t2 < 0 ? -1 : t2));
    const real next_parameter_ = -learning_rate*t3 + parameter;
    const real next_m_ = numbers.beta_2*m - gradient*numbers.t4;
    state[0] = next_m_;
    return next_parameter_;
}

/* rprop */
typedef struct {
    real eta_minus_, eta_plus_, min_step_, max_step_;
} rprop_numbers;

INLINE rprop_numbers rprop_prepare(const double *options, double t)
{
    const double eta_minus_ = options[1];
    const double eta_plus_ = options[2];
    const double min_step_ = options[3];
    const double max_step_ = options[4];
    return (rprop_numbers) {(real) eta_minus_, (real) eta_plus_, (real) min_step_, (real) max_step_};
}

INLINE real rprop_step(rprop_numbers numbers, real learning_rate, real parameter, real gradient,
    real *state, size_t stride)
{
    const real direction_ = state[0];
    const real step_ = state[stride];
    const real t1 = direction_*gradient;
    const real t2 = (t1 > 0 ? numbers.eta_plus_ : (t1 < 0 ? numbers.eta_minus_ : 1));
    const real t3 = step_*t2;
    const real t4 = maximum(numbers.min_step_, t3);
    const real t5 = minimum(numbers.max_step_, t4);
    const real t6 = (gradient > 0 ? 1 : (gradient < 0 ? -1 : gradient));
    const real t7 = (t1 < 0 ? 0 : t6);
    const real next_parameter_ = parameter - t5*t7;
    state[0] = t7;
    state[stride] = t5;
    return next_parameter_;
}

#define NN_RULES(RULE) \
    RULE(0, sgd, 0, 1) \
    RULE(1, momentum, 1, 1) \
    RULE(2, nesterov, 1, 1) \
    RULE(3, adagrad, 1, 1) \
    RULE(4, rmsprop, 1, 1) \
    RULE(5, adam, 2, 1) \
    RULE(6, adamw, 2, 1) \
    RULE(7, nadam, 3, 1) \
    RULE(8, adamax, 2, 1) \
    RULE(9, lion, 1, 1) \
    RULE(10, rprop, 2, 1)

#pragma GCC diagnostic pop

#endif
