"""Custom objects: object types, fields of any object, values, versions of schemas, rules, relationship types, and records."""
