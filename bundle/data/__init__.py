"""What lies in a folder of photographs, and reading it: formats, names, splits, limits and readers."""
