"""Benchmarks: nncodegen and its peers, side by side, on the same arithmetic. See ``python -m nncodegen bench --help``.

tasks       what is computed, and when two results agree
data        samples and start parameters
workloads   the tasks by name
flops       how many operations a task takes
peers/      who is measured, one file each; *.c and native.py are the C that is written by hand
worker      the process of one peer; processes is the other side of it
measuring   runs peers in turn and compares their results
builds      builds and growth, in a worker; growing asks for them
machine     what it was measured on
report      tables; plot is the chart
command     puts it all together
"""
