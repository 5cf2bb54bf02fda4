"""The signal gate's rules: what holds, breakers, markets' hours."""
