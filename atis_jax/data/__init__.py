"""Image data sets prepared by TFDS, read and batched by Grain; cluttered digits as the embedded default."""
