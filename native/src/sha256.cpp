#include "sha256.hpp"

#include <array>
#include <cstdint>
#include <fstream>

#include "json.hpp"

namespace minnow {
namespace {

const uint32_t kRounds[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

uint32_t turned(uint32_t word, int by) { return word >> by | word << (32 - by); }

void add_block(const unsigned char* block, std::array<uint32_t, 8>& state) {
    uint32_t words[64];
    for (int i = 0; i < 16; ++i)
        words[i] = static_cast<uint32_t>(block[4 * i]) << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 64; ++i) {
        uint32_t a = words[i - 15], b = words[i - 2];
        words[i] = words[i - 16] + (turned(a, 7) ^ turned(a, 18) ^ a >> 3) + words[i - 7] + (turned(b, 17) ^ turned(b, 19) ^ b >> 10);
    }
    auto [a, b, c, d, e, f, g, h] = state;
    for (int i = 0; i < 64; ++i) {
        uint32_t first = h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g)) + kRounds[i] + words[i];
        uint32_t second = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + first, d = c, c = b, b = a, a = first + second;
    }
    const uint32_t now[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; ++i) state[i] += now[i];
}

using State = std::array<uint32_t, 8>;
const State kStart = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

void add_blocks(std::string_view bytes, State& state) {
    for (size_t at = 0; at < bytes.size(); at += 64) add_block(reinterpret_cast<const unsigned char*>(bytes.data()) + at, state);
}

// Adds what is behind the last whole block, and returns the digits.
std::string finished(std::string_view rest, uint64_t size, State state) {
    std::string padded(rest);
    padded += '\x80';
    padded.resize((padded.size() + 8 + 63) / 64 * 64);
    uint64_t bits = size * 8;
    for (int i = 1; i <= 8; ++i, bits >>= 8) padded[padded.size() - i] = static_cast<char>(bits);
    add_blocks(padded, state);
    std::string digits;
    for (uint32_t word : state)
        for (int shift = 28; shift >= 0; shift -= 4) digits += "0123456789abcdef"[word >> shift & 15];
    return digits;
}

}  // namespace

std::string sha256(std::string_view bytes) {
    State state = kStart;
    size_t whole = bytes.size() / 64 * 64;
    add_blocks(bytes.substr(0, whole), state);
    return finished(bytes.substr(whole), bytes.size(), state);
}

std::string sha256_of_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string block(1 << 18, '\0');
    State state = kStart;
    uint64_t size = 0;
    while (file.read(&block[0], static_cast<std::streamsize>(block.size()))) add_blocks(block, state), size += block.size();
    if (!file.eof()) throw Error(path + " cannot be read.");
    size_t last = static_cast<size_t>(file.gcount()), whole = last / 64 * 64;
    add_blocks(std::string_view(block).substr(0, whole), state);
    return finished(std::string_view(block).substr(whole, last - whole), size + last, state);
}

}  // namespace minnow
