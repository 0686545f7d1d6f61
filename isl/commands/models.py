"""The command `isl models`."""


def models() -> None:
    """Lists the bundled models."""
    from isl.labeling.inspect import summary
    from isl.model_folder import bundled_models

    found = bundled_models()
    if not found:
        print("no models are bundled; name a model's folder with --model DIR")
    width = max(map(len, found), default=0)
    for name, directory in sorted(found.items()):
        print(f"{name:<{width}}  {summary(directory)}")
