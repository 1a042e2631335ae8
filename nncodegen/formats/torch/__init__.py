"""Networks of PyTorch, read from their modules or from the graphs that torch.fx and torch.export give."""
