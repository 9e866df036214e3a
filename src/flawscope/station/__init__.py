"""Work at the station: inspect, evaluate, calibrate, export a model folder. No torch."""
