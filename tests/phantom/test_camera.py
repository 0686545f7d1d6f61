import numpy as np

from isl.phantom.camera import Camera, expose, store, store_planes


def test_noise_is_shot_and_readout_noise():
    camera = Camera(photons=900.0, read_noise=30.0, unevenness=0.0)
    for level in (0.0, 1.0, 2.0):
        light = np.full((2, 200, 200), level, np.float32)
        seen = expose(light, camera, np.random.default_rng(0))
        np.testing.assert_allclose(seen.mean(), level, atol=1e-3)
        np.testing.assert_allclose(seen.std(), np.sqrt(level * 900 + 900) / 900, rtol=0.02)


def test_light_is_uneven_alike_in_all_planes():
    camera = Camera(photons=1e12, read_noise=0.0, unevenness=0.05)
    seen = expose(np.ones((3, 40, 50), np.float32), camera, np.random.default_rng(0))
    np.testing.assert_allclose(seen[0], seen[2], atol=1e-5)
    np.testing.assert_allclose(seen.mean(), 1, atol=1e-5)
    assert 0.01 < seen.std() < 0.2


def test_stored_planes_have_the_published_mean_and_deviation():
    rng = np.random.default_rng(0)
    planes = (rng.uniform(-1, 1, (3, 50, 60)) * [[[2]], [[5]], [[0.1]]] + 7).astype(np.float32)
    stored = store_planes(planes)
    assert stored.dtype == np.uint16
    np.testing.assert_allclose(stored.mean(axis=(1, 2)) / 65535, 0.5, atol=1e-4)
    np.testing.assert_allclose(stored.std(axis=(1, 2)) / 65535, 0.125, atol=1e-4)


def test_a_flat_plane_stays_flat():
    assert (store_planes(np.full((1, 4, 5), 3, np.float32)) == 32768).all()


def test_storing_clips():
    np.testing.assert_array_equal(store(np.array([-0.5, 0, 1, 1.5])), [0, 0, 65535, 65535])
