"""Programs to posterior draws."""
