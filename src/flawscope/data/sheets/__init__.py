"""Contact sheets: many pictures on one, for people to look at."""
