"""The command line: ``python -m nncodegen``."""
