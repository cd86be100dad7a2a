"""The parts of the application."""
