/* The options of a training, each declared once, in nncodegen/runtime/python/arguments/options.py, from which
   "pytest --update-golden" renews this file.

   Needs OPTION(type, name, meaning), a macro. Gives what it makes of each option. */

OPTION(int, sequential, "update one parameter at a time")
OPTION(double, tolerance, "stop when no parameter changed by this much in an epoch; 0: never")
OPTION(double, clip_value, "the largest value of the gradient; 0: any")
OPTION(double, clip_norm, "the largest norm of the gradient; 0: any")
OPTION(double, l1, "adds the gradient of l1*sum |w|; 0: none")
OPTION(double, l2, "adds the gradient of l2/2*sum w**2; 0: none")
OPTION(double, weight_decay, "takes learning_rate*weight_decay*p from every parameter p; 0: nothing")
OPTION(int, metrics, "those to compute, a bit 1 << METRIC for each; 0: none")
OPTION(size_t, patience, "stop after this many epochs without a new best; 0: never")
OPTION(double, min_delta, "what counts as better")
OPTION(int, monitor, "the column that tells the best epoch; -1: none")
OPTION(int, higher, "whether more of it is better")
OPTION(size_t, threads, "that share large batches; the results do not depend on them")
OPTION(int, without_loss, "whether no loss is computed, and the history is NaN; only without metrics")
