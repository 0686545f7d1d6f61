"""From paths that a person gives to pictures, and what is said of them beside."""
