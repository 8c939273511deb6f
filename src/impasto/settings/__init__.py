"""What can be chosen: settings, presets, film-independent rules and their parsing."""
