"""Doors: the ways in from outside."""
