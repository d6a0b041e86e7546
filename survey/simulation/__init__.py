"""Simulated surveys: where an array points and when, what it detects, written as a data store."""
