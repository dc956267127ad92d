// The folders of `minnow device-check`, run on a device.
#pragma once
#include <string>

#include "network.hpp"

namespace minnow {

// Writes floats as they are in memory: little-endian on every platform of MNN.
void write_floats(const std::string& path, const std::vector<float>& values);

// Runs the texts of a folder, and writes answer.json and answer.f32 into it. `runner` is the name of the program or
// library in answer.json. Returns a summary of one line.
std::string run_device_check(const std::string& folder, const Options& options, const std::string& runner);

}  // namespace minnow
