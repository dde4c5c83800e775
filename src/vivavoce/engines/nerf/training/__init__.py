"""How a head is learnt: a film taken apart, lessons of it, a school."""
