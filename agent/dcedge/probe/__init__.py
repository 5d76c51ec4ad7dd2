"""Active measurement towards the cloud side of each virtual interface."""
