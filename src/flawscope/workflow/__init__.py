"""What the command line does, as functions: recipes, training, calibration, inspection, evaluation."""
