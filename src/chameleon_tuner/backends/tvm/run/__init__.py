"""What worker processes do: build and run candidates, judge finals, compare models."""
