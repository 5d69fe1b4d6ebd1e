#include "entropy/crc32.hpp"

#include <array>

namespace fieldpack {
namespace {

constexpr std::array<std::uint32_t, 256> make_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t remainder = byte;
        for (int bit = 0; bit < 8; ++bit)
            remainder = (remainder >> 1) ^ ((remainder & 1) ? 0xEDB88320u : 0u);
        table[byte] = remainder;
    }
    return table;
}

constexpr auto table = make_table();

}  // namespace

std::uint32_t crc32(const std::uint8_t* bytes, std::size_t size) {
    std::uint32_t state = 0xFFFFFFFFu;
    for (std::size_t i = 0; i < size; ++i)
        state = (state >> 8) ^ table[(state ^ bytes[i]) & 0xFF];
    return ~state;
}

}  // namespace fieldpack
