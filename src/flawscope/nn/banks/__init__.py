"""Banks of patch features: collecting, choosing and searching them."""
