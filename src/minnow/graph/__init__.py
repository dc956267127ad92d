"""Graphs: a network and its head as ONNX, in the form that MNN runs best."""
