"""The shop's endpoints."""
