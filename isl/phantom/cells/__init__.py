"""Simulated cultures: transmitted-light stacks and the fluorescence that belongs to them."""
