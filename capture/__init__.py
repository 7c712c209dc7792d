"""The first room: from bytes on a wire, or recordings of others, to a log of exchanges without secrets."""
