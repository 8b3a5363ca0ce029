// The layout of the structures in structs.h as text, which kernels/structs.py compares with its own.
#include <cstddef>
#include <string>

#include "simd.h"
#include "structs.h"

namespace {

struct Report {
    std::string text;

    void number(const char* name, size_t value) { text += std::string(" ") + name + "=" + std::to_string(value); }
    void line(const char* name) { text += (text.empty() ? "" : "\n") + std::string(name); }
};

std::string layouts() {
    Report report;
#define STRUCT(NAME)     \
    typedef NAME Struct; \
    report.line(#NAME);  \
    report.number("size", sizeof(Struct));
#define FIELD(NAME) report.number(#NAME, offsetof(Struct, NAME));
    {
        STRUCT(Dropout) FIELD(key) FIELD(threshold) FIELD(scale)
    }
    {
        STRUCT(RowSource) FIELD(kind) FIELD(first) FIELD(second) FIELD(eps) FIELD(dropout)
    }
    {
        STRUCT(LoraEpilogue) FIELD(rank) FIELD(h) FIELD(h_row) FIELD(b) FIELD(b_row) FIELD(b_col) FIELD(scale)
    }
    {
        STRUCT(Int8Weight) FIELD(values) FIELD(scales) FIELD(compensation)
    }
    {
        STRUCT(LoraLayer) FIELD(n) FIELD(rank) FIELD(w) FIELD(w_row) FIELD(w_col) FIELD(forward) FIELD(backward) FIELD(a) FIELD(b)
        FIELD(scale) FIELD(bias) FIELD(residual) FIELD(y) FIELD(grad) FIELD(grad_a) FIELD(grad_b)
    }
    {
        STRUCT(AttentionParams) FIELD(nodes) FIELD(tokens) FIELD(shared) FIELD(heads) FIELD(kv_heads) FIELD(d) FIELD(window)
        FIELD(spans) FIELD(positions) FIELD(scale) FIELD(cap)
    }
    {
        STRUCT(KVCache) FIELD(rows) FIELD(shared) FIELD(capacity) FIELD(slots) FIELD(lengths)
    }
    {
        STRUCT(DecoderLayer) FIELD(compute) FIELD(width) FIELD(inner) FIELD(attention) FIELD(eps_attention) FIELD(eps_mlp)
        FIELD(eps_q) FIELD(eps_k) FIELD(norm_attention) FIELD(norm_mlp) FIELD(norm_q) FIELD(norm_k) FIELD(cos) FIELD(sin)
        FIELD(kept_attention) FIELD(kept_mlp) FIELD(gate) FIELD(up) FIELD(layers) FIELD(dropouts)
    }
    report.line("Compute");
    report.number("FLOAT32", COMPUTE_FLOAT32), report.number("INT8", COMPUTE_INT8), report.number("BFLOAT16", COMPUTE_BFLOAT16);
    report.line("RowKind");
    report.number("PLAIN", ROWS_PLAIN), report.number("RMS_NORM", ROWS_RMS_NORM), report.number("SWIGLU", ROWS_SWIGLU);
    return report.text;
}

}  // namespace

// A line for each structure: its name, its size and the offsets of its fields; then the values of the enumerations.
EXPORT const char* kernel_abi() {
    static const std::string text = layouts();
    return text.c_str();
}
