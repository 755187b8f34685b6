"""The import of models: ONNX files, PyTorch exported programs, Relax modules, TensorIR."""
