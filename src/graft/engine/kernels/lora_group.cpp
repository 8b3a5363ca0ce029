// A group of linear layers with LoRA that read one input: each direction in one call. float32, and sizes that are multiples of
// the lanes.
#include "gemm.h"
#include "lora.h"
#include "workspace.h"

#if VECTOR_BYTES >= 32

namespace {

constexpr int UNSIGNED_ZERO_POINT = 128;  // gemm_int8 takes unsigned rows

int padded_rank_of(const LoraLayer& layer) { return padded_rank(layer.rank); }

struct LoraGroup {
    int compute;
    int64_t rows;
    int k, count;
    const LoraLayer* layers;
    int R;  // the padded ranks of all layers

    LoraGroup(int compute, int64_t rows, int k, int count, const LoraLayer* layers)
        : compute(compute), rows(rows), k(k), count(count), layers(layers), R(0) {
        for (int i = 0; i < count; i++) R += padded_rank_of(layers[i]);
    }

    // each(layer, where its columns begin)
    template <class Each>
    void for_each_layer(Each each) const {
        for (int i = 0, column = 0; i < count; column += padded_rank_of(layers[i++])) each(layers[i], column);
    }

    // (R, k): the A of all layers, with rows of zeros where ranks are padded
    const float* concatenated_a() const {
        static thread_local Workspace workspace;
        float* to = workspace.get<float>((size_t)R * k);
        for_each_layer([&](const LoraLayer& layer, int column) {
            const size_t size = (size_t)layer.rank * k, whole = (size_t)padded_rank_of(layer) * k;
            std::memcpy(to + (size_t)column * k, layer.a, size * sizeof(float));
            std::fill(to + (size_t)column * k + size, to + (size_t)column * k + whole, 0.0f);
        });
        return to;
    }
};

// (n, padded rank)
const float* padded_b(const LoraLayer& layer) {
    static thread_local Workspace workspace;
    const int R = padded_rank_of(layer);
    if (R == layer.rank) return layer.b;
    float* to = workspace.get<float>((size_t)layer.n * R);
    for (int i = 0; i < layer.n; i++) {
        std::memcpy(to + (size_t)i * R, layer.b + (size_t)i * layer.rank, layer.rank * sizeof(float));
        std::fill(to + (size_t)i * R + layer.rank, to + (size_t)(i + 1) * R, 0.0f);
    }
    return to;
}

// Memory for rows (rows, n) in int8, where the group computes in it
QuantizedRows quantized_workspace(const LoraGroup& group, int n) {
    static thread_local Workspace workspaces[2];
    if (group.compute != COMPUTE_INT8) return {nullptr, nullptr, UNSIGNED_ZERO_POINT};
    return {workspaces[0].get<int8_t>((size_t)group.rows * n), workspaces[1].get<float>((size_t)group.rows), UNSIGNED_ZERO_POINT};
}

// out (rows, n) = [residual +] x wᵀ + the low-rank part
void multiply(const LoraGroup& group, int n, int k, const float* x, const QuantizedRows& quantized, const WeightView& w,
              const Int8Weight& int8, const LoraEpilogue& lora, float* out, const float* residual) {
    if (group.compute == COMPUTE_FLOAT32) gemm_f32(group.rows, n, k, x, w.data, w.row, w.col, &lora, out, residual);
#ifdef HAS_INT8_DOT
    if (group.compute == COMPUTE_INT8)
        gemm_int8(group.rows, n, k, (const uint8_t*)quantized.values, quantized.scales, &int8, &lora, out, residual);
#endif
#ifdef __AMX_BF16__
    if (group.compute == COMPUTE_BFLOAT16) gemm_bf16(group.rows, n, k, x, w.data, w.row, w.col, &lora, out, residual);
#endif
}

void add_bias(int64_t rows, int n, const float* bias, float* y) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < rows; i++)
#pragma omp simd
        for (int j = 0; j < n; j++) y[i * n + j] += bias[j];
}

}  // namespace

EXPORT void lora_group_forward(int compute, int64_t rows, int k, int count, const LoraLayer* layers, const Dropout* dropout,
                               const float* x, float* h) {
    const LoraGroup group(compute, rows, k, count, layers);
    const QuantizedRows quantized = quantized_workspace(group, k);
    const Dropout none = {}, &dropped = dropout ? *dropout : none;
    lora_down_of(rows, k, group.R, {ROWS_PLAIN, x, nullptr, 0, dropped}, group.concatenated_a(), h, quantized);
    group.for_each_layer([&](const LoraLayer& layer, int column) {
        const int R = padded_rank_of(layer);
        const LoraEpilogue lora = {R, h + column, group.R, padded_b(layer), 1, R, (float)layer.scale * dropped.scale};
        multiply(group, layer.n, k, x, quantized, {layer.w, layer.w_row, layer.w_col}, layer.forward, lora, layer.y,
                 layer.residual);
        if (layer.bias) add_bias(rows, layer.n, layer.bias, layer.y);
    });
}

EXPORT void lora_group_backward(int compute, int64_t rows, int k, int count, const LoraLayer* layers, const RowSource* x,
                                const float* h, float* grad_x) {
    static thread_local Workspace workspaces[3];
    const LoraGroup group(compute, rows, k, count, layers);
    const int R = group.R;
    const Dropout& dropout = x->dropout;
    float* g = workspaces[0].get<float>((size_t)rows * R);
    group.for_each_layer([&](const LoraLayer& layer, int column) {
        const int n = layer.n, own = padded_rank_of(layer);
        const QuantizedRows quantized = quantized_workspace(group, grad_x ? n : 0);
        float* grad_b = own == layer.rank ? layer.grad_b : workspaces[1].get<float>((size_t)n * own);
        lora_backward_b_f32(rows, n, own, layer.grad, padded_b(layer), h + column, R, layer.scale * dropout.scale, g + column, R,
                            grad_b, grad_x ? quantized.values : nullptr, quantized.scales, quantized.zero_point);
        for (int i = 0; grad_b != layer.grad_b && i < n; i++)
            std::memcpy(layer.grad_b + (size_t)i * layer.rank, grad_b + (size_t)i * own, layer.rank * sizeof(float));
        if (!grad_x) return;
        const bool last = &layer == layers + count - 1 && !dropout.threshold;
        const LoraEpilogue lora = last ? LoraEpilogue{R, g, R, group.concatenated_a(), k, 1, 1.0f} : LoraEpilogue{};
        multiply(group, k, n, layer.grad, quantized, {layer.w, layer.w_col, layer.w_row}, layer.backward, lora, grad_x,
                 &layer == layers ? nullptr : grad_x);
    });
    if (grad_x && dropout.threshold) lora_add_dropped(rows, k, R, g, group.concatenated_a(), dropout, grad_x);
    float* grad_a = workspaces[2].get<float>((size_t)R * k);
    lora_grad_a_of(rows, k, R, g, *x, grad_a);
    group.for_each_layer([&](const LoraLayer& layer, int column) {
        std::memcpy(layer.grad_a, grad_a + (size_t)column * k, (size_t)layer.rank * k * sizeof(float));
    });
}
#endif
