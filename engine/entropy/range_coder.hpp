// Range coder (Martin 1979) with a 64-bit interval, carries propagated into the bytes already
// written, and a flush that writes only the bytes that tell the final interval apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fieldpack {

// The interval of one symbol: [start, start + size) out of `total`, which is below 2^32.
struct SymbolRange {
    std::uint32_t start;
    std::uint32_t size;
    std::uint32_t total;
};

class RangeEncoder {
public:
    void encode(SymbolRange symbol);
    // Ends the stream and returns it; the encoder is then empty.
    std::vector<std::uint8_t> finish();

private:
    void add(std::uint64_t value);

    std::uint64_t low_ = 0;
    std::uint64_t range_ = ~std::uint64_t{0};
    std::vector<std::uint8_t> bytes_;
};

class RangeDecoder {
public:
    // Bytes past the end of the stream read as zero; the buffer must outlive the decoder.
    RangeDecoder(const std::uint8_t* bytes, std::size_t size);

    // The position in [0, total) of the next symbol; `consume` must follow with its range.
    std::uint32_t position(std::uint32_t total);
    void consume(SymbolRange symbol);

private:
    std::uint8_t next();

    const std::uint8_t* bytes_;
    std::size_t size_;
    std::size_t offset_ = 0;
    std::uint64_t code_ = 0;
    std::uint64_t range_ = ~std::uint64_t{0};
    std::uint64_t unit_ = 0;
};

}  // namespace fieldpack
