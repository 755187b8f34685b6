// A tuned model in C++: what `chameleon export --cpp` wrote is loaded and run, without Python.
//
//   #include "model.h"
//   chameleon::Model model("folder", chameleon::kModel);
//   std::vector<chameleon::Tensor> inputs = model.Inputs();  // of zeros, to be filled
//   std::vector<chameleon::Tensor> outputs = model.Run(inputs);
//
// A tensor has data_ptr(), shape(), dtype() and numel(). Errors are C++ exceptions. One model serves
// one thread at a time; models of the same folder share its code.

#ifndef CHAMELEON_H_
#define CHAMELEON_H_

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <tvm/ffi/container/array.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace chameleon {

using Tensor = tvm::ffi::Tensor;

// An input, an output or a weight. Weights have a place in the file, in bytes from its beginning.
struct Spec {
  std::string name;
  DLDataType dtype;
  std::vector<int64_t> shape;
  size_t offset = 0;
};

struct Description {
  std::vector<Spec> inputs, outputs, weights;
  std::vector<std::string> flags;  // of the CPU, as Linux names them, that the code needs
};

class Model {
 public:
  Model(const std::string& folder, const Description& description) : description_(description) {
    RequireFlags(description.flags);
    namespace ffi = tvm::ffi;
    const int pooled = 2;  // the allocator that keeps memory for the next call
    code_ = ffi::Module::LoadFromFile(folder + "/lib/model.so");
    machine_ = code_.value()->GetFunction("vm_load_executable").value()().cast<ffi::Module>();
    machine_.value()->GetFunction("vm_initialization").value()(static_cast<int>(kDLCPU), 0, pooled);
    main_ = machine_.value()->GetFunction("main").value();
    MapWeights(folder + "/model.weights");
  }

  // Returns tensors of zeros for the inputs.
  std::vector<Tensor> Inputs() const {
    std::vector<Tensor> made;
    for (const Spec& spec : description_.inputs) {
      made.push_back(Tensor::FromNDAlloc(Zeros(), tvm::ffi::Shape(spec.shape), spec.dtype, kCpu));
    }
    return made;
  }

  // Runs the model on its inputs, and returns its outputs, which are the caller's own.
  std::vector<Tensor> Run(const std::vector<Tensor>& inputs) const {
    if (inputs.size() != description_.inputs.size()) {
      throw std::invalid_argument("the model has " + std::to_string(description_.inputs.size()) +
                                  " inputs, not " + std::to_string(inputs.size()));
    }
    std::vector<tvm::ffi::AnyView> views(inputs.begin(), inputs.end());
    views.insert(views.end(), weights_.begin(), weights_.end());
    tvm::ffi::Any result;
    main_.CallPacked(views.data(), static_cast<int32_t>(views.size()), &result);
    if (auto tensor = result.as<Tensor>()) return {Copied(*tensor)};
    std::vector<Tensor> outputs;
    for (const Tensor& tensor : result.cast<tvm::ffi::Array<Tensor>>()) {
      outputs.push_back(Copied(tensor));
    }
    return outputs;
  }

  const Description& description() const { return description_; }

 private:
  static constexpr DLDevice kCpu{kDLCPU, 0};

  struct Zeros {
    void AllocData(DLTensor* tensor) {
      const size_t bytes = (tvm::ffi::GetDataSize(*tensor) + 63) / 64 * 64;
      tensor->data = std::aligned_alloc(64, bytes);
      if (bytes && !tensor->data) throw std::bad_alloc();
      if (bytes) std::memset(tensor->data, 0, bytes);
    }
    void FreeData(DLTensor* tensor) { std::free(tensor->data); }
  };

  struct Mapping {
    void* begin = MAP_FAILED;
    size_t bytes = 0;
    ~Mapping() {
      if (begin != MAP_FAILED) munmap(begin, bytes);
    }
  };

  // A weight: memory of the file, which is mapped for as long as a tensor of it lives.
  struct Mapped {
    std::shared_ptr<Mapping> file;
    size_t offset;
    void AllocData(DLTensor* tensor) { tensor->data = static_cast<char*>(file->begin) + offset; }
    void FreeData(DLTensor*) {}
  };

  // An output may have the memory of an input, a weight or a constant.
  static Tensor Copied(const Tensor& tensor) {
    Tensor copy = Tensor::FromNDAlloc(Zeros(), tensor.shape(), tensor.dtype(), kCpu);
    std::memcpy(copy.data_ptr(), tensor.data_ptr(), tvm::ffi::GetDataSize(tensor));
    return copy;
  }

  static void RequireFlags(const std::vector<std::string>& flags) {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
      if (line.rfind("flags", 0) != 0) continue;
      line += ' ';
      for (const std::string& flag : flags) {
        if (line.find(' ' + flag + ' ') == std::string::npos) {
          throw std::runtime_error("this CPU lacks " + flag + ", which the code was built for");
        }
      }
      return;
    }
  }

  void MapWeights(const std::string& path) {
    if (description_.weights.empty()) return;
    auto file = std::make_shared<Mapping>();
    const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) throw std::runtime_error("cannot open " + path);
    struct stat about;
    file->bytes = fstat(descriptor, &about) == 0 ? about.st_size : 0;
    file->begin = mmap(nullptr, file->bytes, PROT_READ, MAP_PRIVATE, descriptor, 0);
    close(descriptor);
    if (file->begin == MAP_FAILED) throw std::runtime_error("cannot read " + path);
    for (const Spec& spec : description_.weights) {
      Mapped place{file, spec.offset};
      Tensor tensor =
          Tensor::FromNDAlloc(place, tvm::ffi::Shape(spec.shape), spec.dtype, kCpu);
      if (spec.offset + tvm::ffi::GetDataSize(tensor) > file->bytes) {
        throw std::runtime_error(path + " is damaged: copy the folder again");
      }
      weights_.push_back(tensor);
    }
  }

  Description description_;
  tvm::ffi::Optional<tvm::ffi::Module> code_, machine_;
  tvm::ffi::Function main_;
  std::vector<Tensor> weights_;
};

}  // namespace chameleon

#endif  // CHAMELEON_H_
