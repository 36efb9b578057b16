"""Atomic writing of files, records from which a stage resumes, and fingerprints of what results were made from."""
