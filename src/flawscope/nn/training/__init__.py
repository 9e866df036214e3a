"""Gradient descent: the run, the loop, pictures and features in memory."""
