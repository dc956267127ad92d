// Chooses a backend for a bundle while the mode of low precision has a fault:
//     check_best BUNDLE RECORD FAULT
// Prints the words of the mode that was chosen.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <thread>

#include "best.hpp"
#include "embedder.hpp"

using minnow::Canary;

int main(int, char** given) {
    const std::string folder = given[1], record = given[2], fault = given[3];
    try {
        auto canaries = minnow::read_canaries(folder, minnow::read_manifest(folder));
        if (!canaries) throw minnow::Error("no canaries");
        std::vector<minnow::Options> modes(3);
        modes[1].precision = 2, modes[2].precision = 1;
        auto open = [&](const minnow::Options& options) {
            auto opened = std::make_shared<minnow::Embedder>(folder, options);
            return std::vector<minnow::RunCanaries>{[=](const std::vector<Canary>& batch) {
                std::vector<std::vector<float>> rows;
                for (auto& canary : batch) rows.push_back(opened->encode_batch({canary.text}, canary.prompt));
                if (!options.precision) std::this_thread::sleep_for(std::chrono::milliseconds(5));
                bool faulty = options.precision == 2 || fault == "all";
                if (!faulty) return rows;
                if (fault == "permuted" || fault == "all") std::reverse(rows.begin(), rows.end());
                if (fault == "crash") std::abort();
                for (auto& row : rows)
                    for (auto& value : row) {
                        if (fault == "zeros") value = 0;
                        if (fault == "nan") value = std::numeric_limits<float>::quiet_NaN();
                        if (fault == "range") value = std::copysign(65504.f, value);
                        if (fault == "long") value *= 1.1f;
                    }
                return rows;
            }};
        };
        minnow::BackendChoice wanted{"b", "d", "m", 1, -1, "", {}};
        auto known = minnow::read_choice(record, wanted);
        auto found = known && known->chosen >= 0
                         ? *known
                         : minnow::choose_backend(known ? *known : wanted, {*canaries}, modes, open, record);
        std::printf("%d\n", found.attempts[found.chosen].precision);
    } catch (const minnow::Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
