"""The command `isl models`."""


def models() -> None:
    """Lists the bundled models."""
    from isl.model_kinds import installed_models, kind_of

    found = installed_models()
    if not found:
        print("no models are bundled; name a model's folder with --model DIR")
    width = max(map(len, found), default=0)
    for name, directory in found.items():
        print(f"{name:<{width}}  {kind_of(directory).summary(directory)}")
