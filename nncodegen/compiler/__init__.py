"""The compiler: from a model to a module, stage after stage, in the order of pipeline.py."""
