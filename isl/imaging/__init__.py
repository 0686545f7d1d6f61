"""Pictures as values, and the only code that opens or writes image files."""
