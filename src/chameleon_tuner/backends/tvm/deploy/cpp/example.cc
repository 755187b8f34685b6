// Runs the model of a folder: example FOLDER [INPUT...] writes its outputs to output0.bin and so on.
//
// An input is a file with its numbers, as `array.tofile` of NumPy writes it; zeros without files.

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>

#include "model.h"

int main(int argc, char** argv) try {
  if (argc < 2) throw std::invalid_argument("usage: example FOLDER [INPUT...]");
  chameleon::Model model(argv[1], chameleon::kModel);
  std::vector<chameleon::Tensor> inputs = model.Inputs();
  for (int n = 2; n < argc; ++n) {
    chameleon::Tensor& input = inputs.at(n - 2);
    const std::streamsize bytes = tvm::ffi::GetDataSize(input);
    std::ifstream file(argv[n], std::ios::binary);
    file.read(static_cast<char*>(input.data_ptr()), bytes);
    if (file.gcount() != bytes) throw std::runtime_error(std::string(argv[n]) + " is too short");
  }
  std::vector<chameleon::Tensor> outputs = model.Run(inputs);
  for (size_t n = 0; n < outputs.size(); ++n) {
    const size_t bytes = tvm::ffi::GetDataSize(outputs[n]);
    std::ofstream("output" + std::to_string(n) + ".bin", std::ios::binary)
        .write(static_cast<const char*>(outputs[n].data_ptr()), bytes);
    std::printf("%s: %zu bytes\n", model.description().outputs[n].name.c_str(), bytes);
  }
  const auto begin = std::chrono::steady_clock::now();
  for (int n = 0; n < 10; ++n) model.Run(inputs);
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  std::printf("%.3f ms a call\n", took.count() / 10);
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
