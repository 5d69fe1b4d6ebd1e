// CRC-32 of ISO 3309 / ITU-T V.42 (polynomial 0xEDB88320, reflected), as in PNG and zlib.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fieldpack {

std::uint32_t crc32(const std::uint8_t* bytes, std::size_t size);

}  // namespace fieldpack
