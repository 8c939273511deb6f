"""What a terminal shows: progress, messages, interrupts."""
