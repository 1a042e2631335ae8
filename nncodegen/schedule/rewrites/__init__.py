"""Rewrites of loop trees, each in a file of its own.

Before places are known, they change trees; behind, each takes a kernel and gives another. ``plans`` says which of them
every plan takes, in which order.

    take_factors   products multiply their results
    split          long operations do not wait for each other in one loop
    functions      very long tiles run in several functions
    prepare        what depends on parameters only runs before the tiles, or again in each
    together       everything runs in one function
    request        what only the loss needs runs where it is wanted
    one_sample     a single sample has functions of its own
    bound          where loops end
    pad            what lies behind the values of an array
    choose         what runs depends on the call: for few samples, without a BLAS
    expand         loops and statements are written out
    descend        models take a step of gradient descent in the loops that compute the gradient
    add            derivatives are stored, or added to what is there
    on_request     the same, within loops that are compiled for both cases
    join           neighbours that depend on the same condition share it
"""
