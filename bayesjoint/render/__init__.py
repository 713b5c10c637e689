"""Light to model pixels."""
