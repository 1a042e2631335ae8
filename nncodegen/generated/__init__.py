"""The modules of ``generated/*/`` of the repository, which ``pip install`` compiles: ``perceptron``, and your own."""
