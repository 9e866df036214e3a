"""Changes to good pictures: appearance, and defects drawn onto them."""
