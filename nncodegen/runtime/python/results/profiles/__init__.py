"""Profiles of the likelihood: how the best cost grows as a parameter, a quantity or a prediction leaves its best value."""
