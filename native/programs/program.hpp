// Declarations that the files of the command-line program share.
#pragma once
#include <cstdio>
#include <string>

#include "json.hpp"

#if MINNOW_HAS_MNN
#include "best.hpp"
#include "embedder.hpp"
#include "reranker.hpp"

// Runs the texts of a directory that `minnow device-check` wrote; writes answer.json and answer.f32.
void run_device_check(const std::string& folder, const minnow::Options& options);
#endif

extern const char* const kModes[3];

// Writes floats as they are in memory: little-endian on every platform of MNN.
void write_floats(const std::string& path, const std::vector<float>& values);
