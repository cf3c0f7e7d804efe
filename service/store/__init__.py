"""Where state lives: rows, one repository per resource, and blobs on disk."""
