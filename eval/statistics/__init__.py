"""What figures are worth: intervals by group, classification, calibration, folds and tests."""
