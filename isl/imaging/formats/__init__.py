"""One file a format: TIFF in its dialects, PNG, and the microscopes' own."""
