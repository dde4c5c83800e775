"""What the voices over the network share: one guarded way out, and speech made of what comes back."""
