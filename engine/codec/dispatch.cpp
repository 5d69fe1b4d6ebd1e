#include <string>

#include "codec/latents.hpp"
#include "simd/kernels.hpp"

namespace fieldpack {

namespace train {
namespace exact_baseline {
extern const codec::CodecKernels codec_table;
}
#if defined(__x86_64__)
namespace exact_avx2 {
extern const codec::CodecKernels codec_table;
}
namespace exact_avx512 {
extern const codec::CodecKernels codec_table;
}
#endif
}  // namespace train

namespace codec {

const CodecKernels& codec_kernels() {
    [[maybe_unused]] const std::string isa = fieldpack::kernels().name;
#if defined(__x86_64__)
    if (isa == "avx512") return train::exact_avx512::codec_table;
    if (isa == "avx2") return train::exact_avx2::codec_table;
#endif
    return train::exact_baseline::codec_table;
}

}  // namespace codec
}  // namespace fieldpack
