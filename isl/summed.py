"""What is counted or summed over parts, and adds up over them."""

import dataclasses
from typing import Any, Self


class Summed:
    """A dataclass of numbers that are sums over parts; those of two parts merge with `+`."""

    def __add__(self, other: Self) -> Self:
        """The sums over both."""
        mine: Any = self
        names = [field.name for field in dataclasses.fields(mine)]
        return type(self)(**{name: getattr(self, name) + getattr(other, name) for name in names})
