"""The loop, the evaluation pass, and what they need."""
