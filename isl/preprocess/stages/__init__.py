"""The stages that tiles go through, each a pure function of images."""
