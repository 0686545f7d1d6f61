"""Training ensembles that tell frames before polarization from those after."""
