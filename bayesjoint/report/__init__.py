"""Draws to colours, tables, figures and files."""
