// SHA-256 (FIPS 180-4).
#pragma once
#include <string>
#include <string_view>

namespace minnow {

// Both return hexadecimal digits.
std::string sha256(std::string_view bytes);
std::string sha256_of_file(const std::string& path);

}  // namespace minnow
