"""Which files belong to which field, tile, plane and channel, without reading a pixel."""
