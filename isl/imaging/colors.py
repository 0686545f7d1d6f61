"""The color a label is shown in, the same in Fiji's channels and in previews."""

# First match wins; a name is matched by what it contains, so DAPI_WIDEFIELD is blue as well.
_COLORS = (
    ("DAPI", (64, 96, 255)),
    ("HOECHST", (64, 96, 255)),
    ("H3342", (64, 96, 255)),
    ("NUCLEI", (64, 96, 255)),
    ("DEAD", (255, 64, 64)),
    ("PROPIDIUM", (255, 64, 64)),
    ("EZRIN", (255, 72, 160)),
    ("TUJ1", (64, 224, 64)),
    ("MAP2", (64, 224, 64)),
    ("NFH", (255, 160, 32)),
    ("NEURITE", (224, 208, 48)),
    ("ISLET", (255, 80, 80)),
    ("CELLMASK", (48, 208, 224)),
    ("MEMBRANE", (48, 208, 224)),
)
_WHITE = (255, 255, 255)


def label_color(label: str) -> tuple[int, int, int]:
    """Red, green and blue (0 to 255) for a label's name; white for labels nobody listed."""
    name = label.upper()
    return next((color for part, color in _COLORS if part in name), _WHITE)
