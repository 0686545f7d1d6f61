"""OME-Zarr: images and plates, read and written chunk by chunk."""
