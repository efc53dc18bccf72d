"""The parts of `rmeeto audit`: what is audited, its kept outputs, what they say, how it is shown."""
