"""Raw microscope tiles to training-ready stacks: one file a stage, and the pipeline."""
