"""Pipelines: ways to a sale, their stages and guards, rules that act, and analytics."""
