"""The commands of `isl`, one file each; what they need is imported when they run."""
