// Linear layers that read one input, each a frozen weight with a low-rank part beside it: all that a direction takes of them
// in one call. float32, and sizes in whole vectors.
#include "gemm.h"

#if VECTOR >= 32

namespace {

enum Compute { EXACT, INT8, BFLOAT16 };

int ranks(const Layer& layer) { return filled(layer.rank); }

struct Group {
    int compute;
    int64_t rows;
    int k, count;
    const Layer* layers;
    int R;  // of all, each in whole vectors

    Group(int compute, int64_t rows, int k, int count, const Layer* layers)
        : compute(compute), rows(rows), k(k), count(count), layers(layers), R(0) {
        for (int i = 0; i < count; i++) R += ranks(layers[i]);
    }

    // each(layer, where its columns begin)
    template <class Each>
    void each(Each each) const {
        for (int i = 0, column = 0; i < count; column += ranks(layers[i++])) each(layers[i], column);
    }

    // (R, k): all of A, zeros in what ranks lack
    const float* all_a() const {
        static thread_local Room room;
        float* to = room.of<float>((size_t)R * k);
        each([&](const Layer& layer, int column) {
            const size_t size = (size_t)layer.rank * k, whole = (size_t)ranks(layer) * k;
            std::memcpy(to + (size_t)column * k, layer.a, size * sizeof(float));
            std::fill(to + (size_t)column * k + size, to + (size_t)column * k + whole, 0.0f);
        });
        return to;
    }
};

// (n, rank in whole vectors)
const float* filled_b(const Layer& layer) {
    static thread_local Room room;
    const int R = ranks(layer);
    if (R == layer.rank) return layer.b;
    float* to = room.of<float>((size_t)layer.n * R);
    for (int i = 0; i < layer.n; i++) {
        std::memcpy(to + (size_t)i * R, layer.b + (size_t)i * layer.rank, layer.rank * sizeof(float));
        std::fill(to + (size_t)i * R + layer.rank, to + (size_t)(i + 1) * R, 0.0f);
    }
    return to;
}

// Rows (rows, n) in fewer bits, where that is how one computes
struct Taken {
    int8_t* codes = nullptr;
    float* scales = nullptr;

    Taken(const Group& group, int n) {
        static thread_local Room rooms[2];
        if (group.compute != INT8) return;
        codes = rooms[0].of<int8_t>((size_t)group.rows * n);
        scales = rooms[1].of<float>((size_t)group.rows);
    }
};

// to (rows, n) = [start +] x wᵀ + the low-rank part
void multiply(const Group& group, int n, int k, const float* x, const Taken& taken, const float* w, int64_t w_row,
              int64_t w_col, const Layer::Packed& packed, const LowRank& low, float* to, const float* start) {
    if (group.compute == EXACT)
        wide_product(group.rows, n, k, x, w, w_row, w_col, low.R, low.low, low.row, low.b, low.b_row, low.b_col, low.scale, to,
                     start);
#ifdef CODES
    if (group.compute == INT8)
        wide_codes(group.rows, n, k, (const uint8_t*)taken.codes, taken.scales, packed.codes, packed.scales, packed.less, low.R,
                   low.low, low.row, low.b, low.b_row, low.b_col, low.scale, to, start);
#endif
#ifdef __AMX_BF16__
    if (group.compute == BFLOAT16)
        tiles_bfloat16(group.rows, n, k, x, w, w_row, w_col, low.R, low.low, low.row, low.b, low.b_row, low.b_col, low.scale,
                       to, start);
#endif
}

void add_bias(int64_t rows, int n, const float* bias, float* y) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < rows; i++)
#pragma omp simd
        for (int j = 0; j < n; j++) y[i * n + j] += bias[j];
}

}  // namespace

// The layers' y of x (rows, k); h (rows, R) = what `drop`, where there is one, leaves of x, times aᵀ
EXPORT void together_forward(int compute, int64_t rows, int k, int count, const Layer* layers, const Drop* drop, const float* x,
                             float* h) {
    const Group group(compute, rows, k, count, layers);
    const Taken taken(group, k);
    const Drop none = {}, &by = drop ? *drop : none;
    down_of(rows, k, group.R, {Rows::PLAIN, x, nullptr, 0, by}, group.all_a(), h, taken.codes, taken.scales, 128);
    group.each([&](const Layer& layer, int column) {
        const int R = ranks(layer);
        const LowRank low = {R, h + column, group.R, filled_b(layer), 1, R, (float)layer.scale * by.up};
        multiply(group, layer.n, k, x, taken, layer.w, layer.w_row, layer.w_col, layer.forward, low, layer.y, layer.plus);
        if (layer.bias) add_bias(rows, layer.n, layer.bias, layer.y);
    });
}

// The layers' grad_a and grad_b, and grad_x (rows, k) where it is wanted. x is `kind` of `one` and `two`.
EXPORT void together_backward(int compute, int64_t rows, int k, int count, const Layer* layers, const Drop* drop, const float* h,
                              int kind, const float* one, const float* two, double eps, float* grad_x) {
    static thread_local Room rooms[3];
    const Group group(compute, rows, k, count, layers);
    const int R = group.R;
    const Drop none = {}, &by = drop ? *drop : none;
    float* g = rooms[0].of<float>((size_t)rows * R);
    group.each([&](const Layer& layer, int column) {
        const int n = layer.n, own = ranks(layer);
        const Taken taken(group, grad_x ? n : 0);
        float* grad_b = own == layer.rank ? layer.grad_b : rooms[1].of<float>((size_t)n * own);
        low_rank_gradients_f32(rows, n, own, layer.grad, filled_b(layer), h + column, R, layer.scale * by.up, g + column, R, grad_b,
                               grad_x ? taken.codes : nullptr, taken.scales, 128);
        for (int i = 0; grad_b != layer.grad_b && i < n; i++)
            std::memcpy(layer.grad_b + (size_t)i * layer.rank, grad_b + (size_t)i * own, layer.rank * sizeof(float));
        if (!grad_x) return;
        const bool last = &layer == layers + count - 1 && !by.below;
        const LowRank low = last ? LowRank{R, g, R, group.all_a(), k, 1, 1.0f} : LowRank{};
        multiply(group, k, n, layer.grad, taken, layer.w, layer.w_col, layer.w_row, layer.backward, low, grad_x,
                 &layer == layers ? nullptr : grad_x);
    });
    if (grad_x && by.below) add_kept(rows, k, R, g, group.all_a(), by, grad_x);
    float* grad_a = rooms[2].of<float>((size_t)R * k);
    outer_of(rows, k, R, g, {decltype(Rows::kind)(kind), one, two, (float)eps, by}, grad_a);
    group.each([&](const Layer& layer, int column) {
        std::memcpy(layer.grad_a, grad_a + (size_t)column * k, (size_t)layer.rank * k * sizeof(float));
    });
}
#endif
