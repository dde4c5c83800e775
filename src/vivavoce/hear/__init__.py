"""What hearing has in common, whoever recognises: where speech is, where it ends, which words are settled."""
