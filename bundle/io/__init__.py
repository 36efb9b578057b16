"""Files that are written as a whole, records that let a stage resume, and what they were made from."""
