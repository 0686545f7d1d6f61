"""What the paper reports (Witmer and Bhanu 2024), to be shown beside what is measured here."""

from typing import NamedTuple

import numpy as np

CLASSES = ("debris", "dense", "differentiated", "spread")


class Published(NamedTuple):
    """One row of the paper's tables 2 and 3, by class in the order of `CLASSES`.

    Attributes:
        name: As the paper calls it: MS is two scales, ML with images of several classes.
        rate: The paper's "true positive rate".
        f1: Table 3.
    """

    name: str
    rate: tuple[float, float, float, float]
    f1: tuple[float, float, float, float]


ABLATION = (
    Published("VGG19", (0.8877, 0.7772, 0.8434, 0.9299), (0.8723, 0.8342, 0.8460, 0.9053)),
    Published("HRNet", (0.8670, 0.7752, 0.8162, 0.9239), (0.8579, 0.8215, 0.8565, 0.9011)),
    Published("MS HRNet", (0.7921, 0.8410, 0.9013, 0.8813), (0.8122, 0.8071, 0.7628, 0.8901)),
    Published("IPB VGG", (0.8389, 0.7695, 0.7971, 0.9281), (0.8497, 0.8152, 0.8037, 0.8899)),
    Published("MS IPB VGG", (0.8843, 0.8489, 0.8369, 0.8949), (0.8529, 0.8339, 0.8190, 0.9044)),
    Published("ML IPB VGG", (0.8890, 0.8061, 0.8516, 0.9144), (0.8627, 0.8293, 0.8519, 0.9063)),
    Published("ML+MS IPB VGG", (0.8905, 0.8529, 0.8259, 0.9006), (0.8574, 0.8513, 0.8204, 0.9102)),
    Published("MS IPB HRNet", (0.8934, 0.8241, 0.8846, 0.9112), (0.8608, 0.8412, 0.8536, 0.9125)),
    Published("ML IPB HRNet", (0.9139, 0.7920, 0.8737, 0.9139), (0.8580, 0.8419, 0.8587, 0.9067)),
    Published(
        "ML+MS IPB HRNet", (0.8843, 0.8575, 0.9085, 0.8985), (0.8609, 0.8422, 0.8749, 0.9132)
    ),
)
"""Tables 2 and 3."""

RELATED = {
    "SimCLR": (0.8559, 0.8712, 0.7538, 0.7874),
    "CC": (0.5101, 0.3852, 0.2277, 0.3436),
    "SimTriplet": (0.1726, 0.7160, 0.2246, 0.5423),
    "MPL (imbalanced)": (0.8158, 0.8423, 0.8818, 0.9292),
    "MPL (balanced)": (0.8950, 0.8261, 0.8322, 0.9111),
    "IPB (ML+MS)": (0.8843, 0.8575, 0.9085, 0.8985),
}
"""Table 5, the "true positive rate" by class."""

REPORTED_P = {
    "MS against HRNet, rate of dense": 0.0009,
    "MS against HRNet, rate of differentiated": 0.0448,
    "ML+MS against HRNet, rate of dense": 0.0001,
    "ML+MS against HRNet, rate of differentiated": 0.0002,
    "ML+MS against HRNet, F1 of dense": 0.0005,
}
REPORTED_VARIANCE = {"MPL balanced (text)": 0.0018, "MPL imbalanced": 0.0024}
"""Of the rate over the classes."""

CONFUSION = np.array([[301, 18, 2, 37], [11, 326, 0, 56], [1, 0, 62, 2], [32, 39, 6, 973]])
"""Table 4. Its header says that rows are predictions; they add up to a tenth of each class of table
1 (358, 393, 65, 1050), so rows are what the images are. The published code divides by column sums,
so its "true positive rate" is the precision."""

LABELLED = {0.01: 191, 0.05: 938, 0.10: 1873, 0.50: 9341, 0.80: 14946}
"""Images with labels, by their share of the 18,683 of one class."""
