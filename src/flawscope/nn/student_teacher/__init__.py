"""Students that imitate a frozen teacher on good pictures: networks and losses of EfficientAD and of CDO."""
