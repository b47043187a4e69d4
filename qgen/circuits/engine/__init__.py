"""Engines: who runs a program."""
