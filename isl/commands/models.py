"""The command `isl models`."""


def models() -> None:
    """Lists the bundled models."""
    from isl.labeling import inspect as labeling
    from isl.model_folder import (
        bundled_models,
        model_kind,
    )
    from isl.polarity import inspect as polarity

    found = bundled_models()
    if not found:
        print("no models are bundled; name a model's folder with --model DIR")
    width = max(map(len, found), default=0)
    for name, directory in sorted(found.items()):
        room = polarity if model_kind(directory) == "polarity" else labeling
        print(f"{name:<{width}}  {room.summary(directory)}")
