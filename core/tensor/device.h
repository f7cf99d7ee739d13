// SPDX-License-Identifier: Apache-2.0
// Where a tensor's memory is and its kernels run.
#ifndef SEPTET_CORE_TENSOR_DEVICE_H_
#define SEPTET_CORE_TENSOR_DEVICE_H_

#include <cstdint>
#include <string>

namespace septet {

enum class DeviceType : uint8_t {
  kCpu,
  kEmu,   // the CUDA kernels on the host emulator
  kCuda,  // an NVIDIA GPU
};

inline constexpr int kNumDeviceTypes = 3;

// "cpu", "emu" or "cuda".
inline const char* DeviceTypeName(DeviceType type) {
  switch (type) {
    case DeviceType::kCpu:
      return "cpu";
    case DeviceType::kEmu:
      return "emu";
    case DeviceType::kCuda:
      break;
  }
  return "cuda";
}

struct Device {
  DeviceType type = DeviceType::kCpu;
  int8_t index = 0;

  static constexpr Device Cpu() { return Device{}; }

  // "cpu", "emu", "cuda:1".
  std::string ToString() const {
    std::string name = DeviceTypeName(type);
    if (type == DeviceType::kCuda) name += ":" + std::to_string(index);
    return name;
  }

  friend bool operator==(Device a, Device b) {
    return a.type == b.type && a.index == b.index;
  }
  friend bool operator!=(Device a, Device b) { return !(a == b); }
};

}  // namespace septet

#endif  // SEPTET_CORE_TENSOR_DEVICE_H_
