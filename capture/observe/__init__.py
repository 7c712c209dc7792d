"""Pure observers: the bytes of the two directions of one connection, with times, to exchanges."""
