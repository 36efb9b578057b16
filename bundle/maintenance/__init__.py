"""What those who maintain the bundle do: release it, draw its documents' pictures, compare two versions of it."""
