"""Writes readings as files for others, and keeps these up to date."""
