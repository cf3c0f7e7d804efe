"""REST under /api/v1, and the pages: one router per resource."""
