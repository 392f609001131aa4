"""The built-in engine: a provider like the others, with no network and no model call."""
