"""Pixels on disk to images: files, noise, point-spread functions, geometry."""
