"""Architectures as Hugging Face knows them: configs of published families, and their tensors' names."""
