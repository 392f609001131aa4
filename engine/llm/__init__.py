"""Remote models: what they are asked, over which connections, and which of them answers."""
