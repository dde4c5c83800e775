"""Where work runs: tasks, events, worker processes."""
