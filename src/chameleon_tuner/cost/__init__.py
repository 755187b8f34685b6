"""Cost models: boosted trees on knob encodings, with an uncertainty."""
