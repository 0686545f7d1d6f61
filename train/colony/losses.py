"""What colonies are learned by: cross-entropy, consistency, contrast; sums and counts, not means.

Every loss is a pure function of logits or vectors. An empty mask gives a loss of 0.
"""

import jax
import jax.numpy as jnp


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Of each example: logits float32 [B, K] and labels int32 [B], or shares float32 [B, K]."""
    logarithms = jax.nn.log_softmax(logits)
    if labels.ndim == logits.ndim:
        return -(labels * logarithms).sum(axis=-1)
    return -jnp.take_along_axis(logarithms, labels[:, None], axis=-1)[:, 0]


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean of values [B] where a mask [B] of 0 and 1 is 1; 0 where it is nowhere."""
    return (values * mask).sum() / jnp.maximum(mask.sum(), 1.0)


def sharpened(logits: jax.Array, temperature: float) -> jax.Array:
    """Probabilities float32 [B, K] of logits divided by a temperature; below 1 they are sharper."""
    return jax.nn.softmax(logits / temperature)


def confident(probabilities: jax.Array, threshold: float) -> jax.Array:
    """1 for each example whose likeliest class has at least the threshold, else 0: float32 [B]."""
    return (probabilities.max(axis=-1) >= threshold).astype(jnp.float32)


def ramp(step: jax.Array, weight: float, steps: int) -> jax.Array:
    """A weight that rises linearly over so many steps, and stays (UDA's in the published code)."""
    return weight * jnp.minimum(1.0, (step + 1) / max(steps, 1))


def consistency(
    plain: jax.Array, augmented: jax.Array, *, temperature: float, threshold: float
) -> jax.Array:
    """Unsupervised data augmentation (Xie et al. 2020): an augmented patch is to be seen alike.

    The mean is over all examples, as in the published code of the paper; those that are not sure
    enough count 0.

    Args:
        plain: Logits [B, K] of patches as they are; no gradient goes there.
        augmented: Logits [B, K] of the same patches, augmented.
        temperature: Sharpens what is said of the plain ones.
        threshold: How sure that must be.
    """
    target = jax.lax.stop_gradient(sharpened(plain, temperature))
    return (cross_entropy(augmented, target) * confident(target, threshold)).mean()


def normalized_contrast(first: jax.Array, second: jax.Array, temperature: float = 0.5) -> jax.Array:
    """SimCLR's NT-Xent: each of two views is to find the other among all other views.

    Args:
        first: Vectors float32 [B, D].
        second: Those of the same patches in the other view.
        temperature: Of the similarities.
    """
    vectors = _of_length_one(jnp.concatenate([first, second]))
    similarity = vectors @ vectors.T / temperature
    count = len(vectors)
    similarity = jnp.where(jnp.eye(count, dtype=bool), -1e9, similarity)
    partner = (jnp.arange(count) + count // 2) % count
    return cross_entropy(similarity, partner).mean()


def cluster_contrast(first: jax.Array, second: jax.Array, temperature: float = 1.0) -> jax.Array:
    """Contrastive clustering's loss at the level of clusters (Li et al. 2021, equations 5 to 7).

    A cluster is the column of its probabilities over the batch. Two views of a cluster are to be
    alike and unlike those of the others, and clusters are to be used evenly: the entropy of their
    shares is taken off.

    Args:
        first: Probabilities float32 [B, K] of one view.
        second: Of the other.
        temperature: Of the similarities.
    """

    def evenness(probabilities: jax.Array) -> jax.Array:
        shares = probabilities.sum(axis=0) / probabilities.sum()
        return -(shares * jnp.log(shares + 1e-12)).sum()

    entropy = evenness(first) + evenness(second)
    return normalized_contrast(first.T, second.T, temperature) - entropy


def triplet_similarity(anchor: jax.Array, adjacent: jax.Array, augmented: jax.Array) -> jax.Array:
    """SimTriplet's loss (Liu et al. 2021): a patch is like its neighbour and like its other view.

    Args:
        anchor: Predictions (p, z): float32 [2, B, D], the predictor's vector and the projector's.
        adjacent: Of a neighbouring patch of the same colony.
        augmented: Of another view of the anchor's patch.
    """

    def unlike(one: jax.Array, other: jax.Array) -> jax.Array:
        """Half the negative cosine of predictor to projector each way, no gradient to the latter.

        (Chen and He 2021, "SimSiam", equation 2.)
        """
        forth = _cosine(one[0], jax.lax.stop_gradient(other[1])).mean()
        back = _cosine(other[0], jax.lax.stop_gradient(one[1])).mean()
        return -0.5 * (forth + back)

    return unlike(anchor, augmented) + unlike(anchor, adjacent)


def _cosine(one: jax.Array, other: jax.Array) -> jax.Array:
    return (_of_length_one(one) * _of_length_one(other)).sum(axis=-1)


def _of_length_one(vectors: jax.Array) -> jax.Array:
    """Vectors [..., D] over their lengths; one of zeros, whose length has no slope, stays so."""
    return vectors * jax.lax.rsqrt(jnp.square(vectors).sum(axis=-1, keepdims=True) + 1e-12)
