// SHA-256 (FIPS 180-4).
#pragma once
#include <string>
#include <string_view>

namespace minnow {

std::string sha256(std::string_view bytes);  // in hexadecimal digits

}  // namespace minnow
