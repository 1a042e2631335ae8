"""A model at given parameters: outputs, loss, gradient, Jacobian, Hessian, summary."""
