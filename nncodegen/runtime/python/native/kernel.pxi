# Declarations of a kernel in C for Cython: its types, what its library holds (contents.h), and the Python texts.

cdef extern from *:
    """
#define NN_MODEL(name) nncodegen_##name
#define NN_REAL NNCODEGEN_REAL
#define NN_HAS_MANY 1
#define NN_HAS_BLAS 1
#define NN_HAS_FIT 1
#define NN_HAS_FITS 1
#define NN_HAS_HESSIAN 1
#define NN_HAS_FIELDS 1
#define NN_HAS_STEP 1
#include "nncodegen/interface.h"

#define NN_MODEL(name) nncodegen_##name
#include "nncodegen/module/contents.h"

/* The members of a training that are options: where each is, and the letter of its type. */
typedef struct { const char *name; size_t offset; char type; } nncodegen_option;

static const nncodegen_option nncodegen_options[] = {
#define OPTION(type, name, meaning) \
    { #name, offsetof(nncodegen_training, name), \
      _Generic(((nncodegen_training *) 0)->name, double: 'd', int: 'i', size_t: 'z') },
#include "nncodegen/train/options.h"
#undef OPTION
    { NULL, 0, 0 },
};
    """
    ctypedef double real "nncodegen_real"

    ctypedef struct nncodegen_poll:
        int (*stop)(void *) noexcept nogil
        void *context
        double interval
        double spent
        double asked
        size_t max_steps

    ctypedef struct nncodegen_data:
        const real *inputs
        const real *targets
        size_t samples
        const real *weights
        const real *counts
        const double *spread
        const size_t *starts
        const uint32_t *columns

    ctypedef struct nncodegen_training:
        nncodegen_data data
        nncodegen_data validation
        size_t batch
        int optimizer
        const double *options
        const double *factors
        int factors_of_updates
        double tolerance
        int shuffle
        int sequential
        int without_loss
        uint64_t seed
        size_t threads
        size_t until
        nncodegen_poll poll
        real *parameters
        real *best
        real *state
        void *work
        size_t *order
        uint64_t random
        size_t epochs
        size_t updates
        size_t begin
        size_t sweep
        double epoch_loss
        double batch_loss
        double largest
        double *measures
        double best_figure
        size_t best_epoch
        double *history
        size_t columns
        int status

    ctypedef struct nncodegen_many:
        const real *inputs
        const real *targets
        size_t input_stride
        size_t target_stride
        size_t samples
        size_t batch
        int optimizer
        const double *options
        const double *learning_rates
        const double *initial_state
        double weight_decay
        const double *l2
        double tolerance
        int shuffle
        uint64_t *random
        size_t epochs
        nncodegen_poll poll
        size_t models
        size_t first
        size_t last
        void *work
        size_t *order
        real *parameters
        double *loss
        double *history
        uint64_t *done
        int *status

    ctypedef struct nncodegen_fits:
        const real *inputs
        const real *targets
        const real *sigma
        const real *starts
        const real *sigma_x
        size_t input_stride
        size_t target_stride
        size_t sigma_stride
        size_t start_stride
        size_t sigma_x_stride
        size_t samples
        const size_t *lengths
        const real *lower
        const real *upper
        const unsigned char *fixed
        double cost_tolerance
        double step_tolerance
        double gradient_tolerance
        size_t max_iterations
        int absolute_sigma
        nncodegen_poll poll
        size_t first
        size_t last
        void *work
        real *parameters
        double *chi2
        real *covariance
        real *standard_errors
        uint64_t *data
        uint64_t *iterations
        unsigned char *status
        unsigned char *poles

    ctypedef void nncodegen_gemm()

    enum: nncodegen_CONVERGED
    enum: nncodegen_FEW

    ctypedef struct nncodegen_fitting:
        const real *inputs
        const real *targets
        size_t samples
        const real *sigma
        size_t sigmas
        const real *lower
        const real *upper
        const unsigned char *fixed
        int robust
        double robust_scale
        double cost_tolerance
        double step_tolerance
        double gradient_tolerance
        double output_error
        size_t max_iterations
        const real *sigma_x
        double *changes
        void *errors_work
        const double *penalty
        size_t penalty_rows
        nncodegen_poll poll
        int (*after_each)(void *) noexcept
        void *work
        real *parameters
        double *residuals
        double *history
        size_t kept
        double *triangle
        signed char *active
        unsigned char *poles
        double cost
        double chi2
        double gradient
        size_t used
        size_t free
        size_t sample
        size_t rank
        size_t iterations
        size_t evaluations
        int status

    ctypedef struct nncodegen_groups:
        const real *inputs
        const real *targets
        const real *sigma
        size_t sigmas
        const size_t *begins
        int robust
        double robust_scale
        const real *parameters
        const size_t *columns
        size_t free
        const signed char *signs
        const real *sigma_x
        double *changes
        void *errors_kept
        void *errors_scratch
        int task
        int turned
        int controlled
        const double *steps
        nncodegen_poll poll
        size_t first
        size_t last
        void *work
        double *triangles
        double *cost
        double *chi2
        uint64_t *used
        double *residuals
        signed char *seen
        double *falls
        double *squares
        double *own_falls
        unsigned char *damped

    enum: nncodegen_FIT_INTERRUPTED

    ctypedef struct nncodegen_generation:
        const real *parameters
        const int32_t *prompt
        size_t length
        size_t steps
        double temperature
        size_t top_k
        int32_t stop
        uint64_t seed
        uint64_t row
        nncodegen_poll *poll
        real *state
        real *work
        int32_t *tokens
        size_t count

    ctypedef struct nncodegen_functions:
        size_t (*operations_per_sample)() noexcept nogil
        void (*use_gemm)(nncodegen_gemm *) noexcept nogil
        const char *(*variant)() noexcept nogil
        int (*use)(const char *) noexcept nogil
        size_t (*work_size)() noexcept nogil
        size_t (*state_size)() noexcept nogil
        size_t (*measures_size)() noexcept nogil
        size_t (*first_not_finite)(const real *, size_t) noexcept nogil
        int (*predict)(const real *, const real *, size_t, void *, real *, nncodegen_poll *) noexcept nogil
        int (*predict_few)(const real *, const real *, size_t, void *, real *) noexcept nogil
        int (*loss)(const real *, const real *, const real *, const real *, size_t, void *, double *,
            nncodegen_poll *) noexcept nogil
        int (*loss_and_gradient)(const real *, const real *, const real *, const real *, size_t, void *, double *,
            real *, nncodegen_poll *) noexcept nogil
        size_t (*many_models)() noexcept nogil
        size_t (*many_size)() noexcept nogil
        int (*train_many)(nncodegen_many *) noexcept nogil
        size_t (*jacobian_size)() noexcept nogil
        int (*jacobian)(const real *, const real *, size_t, void *, real *, nncodegen_poll *) noexcept nogil
        size_t (*fits_lanes)() noexcept nogil
        size_t (*fits_size)(size_t) noexcept nogil
        int (*fit_many)(nncodegen_fits *) noexcept nogil
        size_t (*fit_size)() noexcept nogil
        size_t (*errors_size)(size_t, size_t) noexcept nogil
        void (*fit)(nncodegen_fitting *) noexcept nogil
        int (*fit_groups)(nncodegen_groups *) noexcept nogil
        size_t (*hessian_size)() noexcept nogil
        int (*hessian_products)(const real *, const real *, size_t, const real *, const real *, const real *, size_t,
            void *, real *, nncodegen_poll *) noexcept nogil
        size_t (*fields_size)() noexcept nogil
        int (*fields)(const real *, const real *, const real *, size_t, void *, real *, nncodegen_poll *) noexcept nogil
        void (*step_sizes)(size_t *) noexcept nogil
        void (*one_step)(const real *, const int32_t *, size_t, real *, real *, real *) noexcept nogil
        int (*generate)(nncodegen_generation *) noexcept nogil
        void (*train)(nncodegen_training *) noexcept nogil
        void (*copy_parameters)(const nncodegen_training *, real *) noexcept nogil

    ctypedef struct nncodegen_option:
        const char *name
        size_t offset
        char type

    ctypedef struct nncodegen_contents:
        nncodegen_functions functions
        const char *const *facts
        bint apart

    const nncodegen_contents *c_own "nncodegen_own"
    const nncodegen_option *c_options "nncodegen_options"
    const char *c_variants "NNCODEGEN_VARIANT_NAMES"
    const char *c_finder "nncodegen_finder"
    const char *c_digest "nncodegen_digest"
    const unsigned char *c_texts "nncodegen_texts"
    size_t c_texts_size "nncodegen_texts_size"
