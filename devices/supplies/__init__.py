"""What an agent fetches to lay onto devices: ONNX Runtime's library and Debian's glibc, each by pinned digest."""
