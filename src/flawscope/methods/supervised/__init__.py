"""Methods that learn from good pictures and from pictures of known defects."""
