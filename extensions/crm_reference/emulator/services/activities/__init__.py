"""Activities: what people plan and do with records, and the timeline of it."""
