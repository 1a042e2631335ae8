"""Rewrites of loop trees, each in a separate file.

Rewrites before the places of tensors are known change trees; later ones map a kernel to a new one. ``plans`` lists the
rewrites of every plan, in their order.

    take_factors           products multiply their results
    split                  long operations do not wait for each other in one loop
    functions              very long tiles run in several functions
    gather_loss_only       steps that only the loss needs come one after the other in loops that it shares
    prepare                steps that depend on parameters only run before the tiles, or again in each
    sink_until_last_write  values that stay for some steps in time are written where they change
    one_function           everything runs in one function
    mark_loss_only         steps that only the loss needs run only if the loss is asked for
    one_sample             a single sample uses the functions of the runtime for one sample
    set_loop_ends          loops get their ends
    one_by_one             samples run one by one: products and reductions run along what is contiguous
    pad                    arrays are padded after their values
    specialize_for_call    statements depend on the call: for few samples, without a BLAS
    expand                 loops and statements are written out
    hoist                  values that are the same in all iterations of the innermost loop are read before it
    descend                models take a step of gradient descent in the loops that compute the gradient
    store_or_add_gradient  derivatives are stored, or added to the gradient
    guard_loss_only        as ``mark_loss_only``, within loops that are compiled for both cases
    unloop_single_sample   a tile of a single sample adds its only term without a loop
    join                   neighbours that depend on the same condition share it
"""
