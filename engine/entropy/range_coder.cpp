#include "entropy/range_coder.hpp"

namespace fieldpack {
namespace {

// The interval is kept at least this wide, so that a symbol of a table of total 2^32 still has
// 24 bits of precision.
constexpr std::uint64_t narrowest = std::uint64_t{1} << 56;

}  // namespace

void RangeEncoder::add(std::uint64_t value) {
    low_ += value;
    if (low_ >= value) return;
    for (std::size_t i = bytes_.size(); i-- > 0 && ++bytes_[i] == 0;) {
    }
}

void RangeEncoder::encode(SymbolRange symbol) {
    const std::uint64_t unit = range_ / symbol.total;
    add(unit * symbol.start);
    range_ = unit * symbol.size;
    while (range_ < narrowest) {
        bytes_.push_back(static_cast<std::uint8_t>(low_ >> 56));
        low_ <<= 8;
        range_ <<= 8;
    }
}

std::vector<std::uint8_t> RangeEncoder::finish() {
    // The number with the most trailing zero bits in [low, low + range): zeros need no bytes.
    for (int zeros = 63; zeros >= 0; --zeros) {
        const std::uint64_t mask = (std::uint64_t{1} << zeros) - 1;
        const std::uint64_t step = (0 - low_) & mask;
        if (step < range_) {
            add(step);
            break;
        }
    }
    for (int i = 0; i < 8; ++i) {
        bytes_.push_back(static_cast<std::uint8_t>(low_ >> 56));
        low_ <<= 8;
    }
    while (!bytes_.empty() && bytes_.back() == 0) bytes_.pop_back();
    std::vector<std::uint8_t> result;
    result.swap(bytes_);
    low_ = 0;
    range_ = ~std::uint64_t{0};
    return result;
}

RangeDecoder::RangeDecoder(const std::uint8_t* bytes, std::size_t size)
    : bytes_(bytes), size_(size) {
    for (int i = 0; i < 8; ++i) code_ = (code_ << 8) | next();
}

std::uint8_t RangeDecoder::next() { return offset_ < size_ ? bytes_[offset_++] : 0; }

std::uint32_t RangeDecoder::position(std::uint32_t total) {
    unit_ = range_ / total;
    const std::uint64_t position = code_ / unit_;
    return position < total ? static_cast<std::uint32_t>(position) : total - 1;
}

void RangeDecoder::consume(SymbolRange symbol) {
    code_ -= unit_ * symbol.start;
    range_ = unit_ * symbol.size;
    while (range_ < narrowest) {
        code_ = (code_ << 8) | next();
        range_ <<= 8;
    }
}

}  // namespace fieldpack
