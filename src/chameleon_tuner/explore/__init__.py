"""Explorers: many candidates from the cost model, none from the hardware."""
