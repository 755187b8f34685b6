"""MetaSchedule's design spaces as knobs, and schedules from configurations."""
