import isl


def test_every_public_name_is_there():
    for name in isl.__all__:
        assert getattr(isl, name) is not None
