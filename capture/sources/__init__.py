"""Where exchanges come from: thin shells around the observer or around what others recorded."""
