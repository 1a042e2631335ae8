"""The workload accuracy: how many bits formulas and their derivatives lose, as written and compiled.

problem      a formula with a domain, its points and its exact values
hamming      the problems of chapter 3 of Hamming's book
expressions  further expressions
suites       expressions of the suites of Herbie's benchmark
measuring    the bits that NumPy, JAX and nncodegen lose
"""
