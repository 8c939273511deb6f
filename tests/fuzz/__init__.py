"""Damaged and made-up files: each is read, or refused with a sentence. `scripts/fuzz` tries as many as you like."""
