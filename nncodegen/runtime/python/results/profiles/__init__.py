"""Profiles of the likelihood: how the best cost grows as a parameter or a prediction leaves its best value."""
