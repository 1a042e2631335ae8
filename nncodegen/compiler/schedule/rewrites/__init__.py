"""Rewrites of loop trees, each in a separate file.

Rewrites before the places of tensors are known change trees; later ones map a kernel to a new one. ``plans`` lists the
rewrites of every plan, in their order.

    take_factors   products multiply their results
    split          long operations do not wait for each other in one loop
    functions      very long tiles run in several functions
    prepare        steps that depend on parameters only run before the tiles, or again in each
    hold           values that stay for some steps in time are written where they change
    together       everything runs in one function
    request        steps that only the loss needs run only if the loss is asked for
    one_sample     a single sample uses the functions of the runtime for one sample
    bound          loops get their ends
    pad            arrays are padded after their values
    choose         statements depend on the call: for few samples, without a BLAS
    expand         loops and statements are written out
    descend        models take a step of gradient descent in the loops that compute the gradient
    add            derivatives are stored, or added to the gradient
    on_request     as ``request``, within loops that are compiled for both cases
    join           neighbours that depend on the same condition share it
"""
