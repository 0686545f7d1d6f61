"""Cutting images into tiles that networks can see whole: geometry, plans and symmetries."""
