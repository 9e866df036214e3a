"""Train networks to give the features of other networks."""
