"""NumPyro programs: sampling structure, observing images."""
