"""Make model folders: recipes, training, learning from defects, export."""
