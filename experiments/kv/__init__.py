"""What a decoder loses when its cache keeps a part of a text: policies of KV-cache eviction, by budget."""
