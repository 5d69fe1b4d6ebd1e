// The codec's decoding loops, compiled once for each instruction set without fused multiply-add, so
// that all of them give the same bits. FIELDPACK_ISA names the namespace.
#include "codec/code_grid.hpp"
#include "train/filtering.hpp"
#include "train/synthesis.hpp"
#include "train/upsampling.hpp"

#define FIELDPACK_STRING_(x) #x
#define FIELDPACK_STRING(x) FIELDPACK_STRING_(x)

namespace fieldpack::train::FIELDPACK_ISA {

extern const codec::CodecKernels codec_table;
const codec::CodecKernels codec_table = {
    FIELDPACK_STRING(FIELDPACK_ISA), code_grid, filter, upsample, synthesis, synthesis_workspace,
};

}  // namespace fieldpack::train::FIELDPACK_ISA
