/* Trains the perceptron on one sample, one parameter after the other as its example in the README does, and prints in
   millionths what it predicts before and afterwards. */

#include "perceptron.h"

#include <stdio.h>

typedef REAL real;

static long predicted(const real *parameters, const real *X)
{
    real output;
    perceptron_predict(parameters, X, &output, NULL);
    return (long) (output*1000000 + (real) 0.5);
}

int main(void)
{
    static const real X[PERCEPTRON_INPUTS] = {(real) 0.35, (real) 0.9}, Y[PERCEPTRON_TARGETS] = {1};
    static real parameters[PERCEPTRON_PARAMETERS], gradient[PERCEPTRON_PARAMETERS], changed[PERCEPTRON_PARAMETERS];
    for (int p = 0; p < PERCEPTRON_PARAMETERS; p++)
        parameters[p] = changed[p] = perceptron_parameters[p];
    printf("%ld ", predicted(parameters, X));
    for (int update = 0; update < UPDATES*PERCEPTRON_PARAMETERS; update++) {
        for (int p = 0; p < PERCEPTRON_PARAMETERS; p++)
            gradient[p] = 0;
        perceptron_add_gradient(parameters, X, Y, 1, gradient, NULL);
        perceptron_sgd(changed, gradient, (real) 0.3);
        for (int p = 0; p < PERCEPTRON_PARAMETERS; p++)
            if (p == update % PERCEPTRON_PARAMETERS)
                parameters[p] = changed[p];
            else
                changed[p] = parameters[p];
    }
    printf("%ld\n", predicted(parameters, X));
    return 0;
}
