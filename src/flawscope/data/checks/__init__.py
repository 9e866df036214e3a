"""What would spoil training, found before it starts."""
