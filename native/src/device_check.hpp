// The folders of `minnow device-check`, run on a device.
#pragma once
#include <string>

#include "network.hpp"

namespace minnow {

// Runs the texts of a folder, and writes answer.json and answer.f32 into it; `runner` names who does. Returns a summary of one line.
std::string run_device_check(const std::string& folder, const Options& options, const std::string& runner);

}  // namespace minnow
