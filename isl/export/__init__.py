"""Models for programs that know nothing of JAX: ONNX, StableHLO, bioimage.io, a web page."""
