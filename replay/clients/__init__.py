"""How requests reach a build: several transports behind one small interface."""
