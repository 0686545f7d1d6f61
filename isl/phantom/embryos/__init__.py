"""Simulated eight-cell embryos: time-lapses in DIC, their Ezrin, and what truly happened."""
