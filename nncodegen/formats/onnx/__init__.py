"""ONNX: graphs are read, and models written."""
