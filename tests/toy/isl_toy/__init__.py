"""How bright an image is: a task of one weight and one bias, in a package beside isl."""
