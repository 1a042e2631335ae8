"""Benchmarks: nncodegen and its peers, side by side, on the same arithmetic. See ``python -m nncodegen bench --help``.

tasks       the computations, and when two results agree
data        samples and initial parameters
flat        parameters as the arrays of layers, and as one flat array
curves      formulas that are fitted; strd: NIST's problems of least squares
workloads   the tasks by name
flops       the number of operations of a task
peers/      the programs that are compared, one file each; *.c and native.py are C that is written by hand
worker      the process of one peer; processes starts such processes and talks to them
measuring   runs the peers in turn and compares their results
accuracy/   formulas, and the bits that they lose as written and compiled
nist        scores the peers on NIST's problems
builds      measures builds and growth, in a worker; solving trains until a solution is right; growing asks for both
functions   measures SymPy's expressions as functions, by nncodegen and its peers
profiling   measures profiles of fits, by nncodegen, MINOS and lmfit
machine     the machine and the versions of everything that takes part
report      prints tables; plot draws a chart
command     the command ``bench``
"""
