/* The numbers that choose the lengths of steps, each declared once, in nncodegen/compiler/ir/integrate.py and
   systems.py, which say what they mean. "pytest --update-golden" renews this file.

   Needs nothing. Gives STEP_SAFE, STEP_LEAST, STEP_MOST, STEP_BEFORE, STEP_NEAR, STEP_TINY, TINY_SQUARE and
   STEP_REACH. */

#ifndef NNCODEGEN_CONTROLLER_H
#define NNCODEGEN_CONTROLLER_H

/* The factor that keeps steps from being rejected; the least and the largest factor from one length to the next; the
   exponent of the norm of the step before; the logarithm of the smallest such norm, to the base 2; the smallest norm
   whose logarithm is taken. */
#define STEP_SAFE 0.85
#define STEP_LEAST 0.2
#define STEP_MOST 10.0
#define STEP_BEFORE 0.2
#define STEP_NEAR (-3.3219280948873626)
#define STEP_TINY 1e-08

/* The square of STEP_TINY, for squares of norms. */
#define TINY_SQUARE 1e-16

/* The largest length of an explicit step times the bound of eigenvalues, of a method that chooses. */
#define STEP_REACH 2.0

#endif
