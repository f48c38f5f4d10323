"""What opens a page: a sentence, pictures, numbers."""
