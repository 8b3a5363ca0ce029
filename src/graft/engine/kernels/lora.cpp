// LoRA's narrow products, each in one pass over the wide matrix that it reads. R, the padded ranks of all adapters of an input,
// is a multiple of the lanes.
#include "lora.h"
#include "microkernel.h"
#include "workspace.h"

namespace {

constexpr int BLOCK = 32;  // tokens at a time: their rows stay in the cache for both products of a pass

// each(part, from, count): a thread's share of `rows`, block by block
template <class Each>
void for_each_block(int64_t rows, int parts, Each each) {
#pragma omp parallel for schedule(static, 1)
    for (int part = 0; part < parts; part++) {
        const int64_t stop = rows * (part + 1) / parts;
        for (int64_t from = rows * part / parts; from < stop; from += BLOCK)
            each(part, from, (int)std::min<int64_t>(BLOCK, stop - from));
    }
}

// to (size) = factor times the sum over all rows: each thread's by each(sum, accumulate, from, count), then theirs in order
template <class T, class Each>
void sum_over_rows(int64_t rows, int64_t size, T factor, T* to, Each each) {
    const int parts = omp_get_max_threads();
    std::vector<std::vector<T>> sums(parts);
    for_each_block(rows, parts, [&](int part, int64_t from, int count) {
        const bool first = sums[part].empty();
        if (first) sums[part].resize(size);
        each(sums[part].data(), !first, from, count);
    });
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < size; i++) {
        T sum = 0;
        for (const std::vector<T>& part : sums)
            if (!part.empty()) sum += part[i];
        to[i] = sum * factor;
    }
}

inline void quantize_block(const QuantizedRows& quantized, const float* x, int64_t from, int count, int n) {
    if (quantized.values)
        for (int64_t i = from; i < from + count; i++)
            quantized.scales[i] = quantize_row(x + i * n, n, quantized.values + i * n, quantized.zero_point);
}
inline void quantize_block(const QuantizedRows&, const double*, int64_t, int, int) {}

// h (rows, R) = read(from, count), which gives rows of n, times aᵀ of a (R, n); x (rows, n) is what is quantized
template <class T, class Read>
void lora_down(int64_t rows, int n, int R, const T* x, const T* a, T* h, QuantizedRows quantized, Read read) {
    std::vector<T> transposed((size_t)n * R);
    for (int j = 0; j < n; j += 16)
        for (int r = 0; r < R; r++)
            for (int i = j; i < std::min(n, j + 16); i++) transposed[(size_t)i * R + r] = a[(int64_t)r * n + i];
    for_each_block(rows, omp_get_max_threads(), [&](int, int64_t from, int count) {
        quantize_block(quantized, x, from, count, n);
        small_gemm<T>(count, R, n, read(from, count), n, 1, transposed.data(), R, h + from * R, R, false);
    });
}

// g (rows, R; row stride g_row) = scale * grad (rows, n) b (n, R); grad_b (n, R) = scale * gradᵀ h (rows, R; row stride h_row)
template <class T>
void lora_backward_b(int64_t rows, int n, int R, const T* grad, const T* b, const T* h, int64_t h_row, double scale, T* g,
                     int64_t g_row, T* grad_b, QuantizedRows quantized) {
    sum_over_rows(rows, (int64_t)n * R, (T)scale, grad_b, [&](T* sum, bool accumulate, int64_t from, int count) {
        const T* block = grad + from * n;
        quantize_block(quantized, grad, from, count, n);
        small_gemm<T>(count, R, n, block, n, 1, b, R, g + from * g_row, g_row, false);
        for (int i = 0; i < count; i++)
            for (int r = 0; r < R; r++) g[(from + i) * g_row + r] *= (T)scale;
        small_gemm<T>(n, R, count, block, 1, n, h + from * h_row, h_row, sum, R, accumulate);
    });
}

// grad_a (R, n) = gᵀ x of g (rows, R) and x(from, count), which gives rows of n; n is a multiple of the lanes
template <class T, class Read>
void lora_grad_a(int64_t rows, int n, int R, const T* g, T* grad_a, Read x) {
    sum_over_rows(rows, (int64_t)n * R, T(1), grad_a, [&](T* sum, bool accumulate, int64_t from, int count) {
        small_gemm<T>(R, n, count, g + from * R, 1, R, x(from, count), n, sum, n, accumulate);
    });
}

// each(j, whether it is kept) for the n numbers of a row. 64 bits of key and row (splitmix64: Steele, Lea, Flood 2014) go into
// two rounds of a 32-bit hash (multiply and shift: Wellons 2018, "Prospecting for hash functions").
template <class Each>
ALWAYS_INLINE void dropout_row(const Dropout& dropout, int64_t row, int n, Each each) {
    uint64_t mixed = dropout.key + (uint64_t)(row + 1) * 0x9e3779b97f4a7c15;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    mixed ^= mixed >> 31;
    const uint32_t first = (uint32_t)mixed, second = (uint32_t)(mixed >> 32), threshold = dropout.threshold;
#pragma omp simd
    for (int j = 0; j < n; j++) {
        uint32_t hash = (uint32_t)j * 0x9e3779b9u + first;
        hash = (hash ^ hash >> 16) * 0x7feb352du + second;
        hash = (hash ^ hash >> 15) * 0x846ca68bu;
        each(j, (hash ^ hash >> 16) >= threshold);
    }
}

// A block of rows as adapters read them, valid until the thread's next block.
const float* read_rows(const RowSource& x, int n, int64_t from, int count) {
    static thread_local Workspace workspace;
    const float* first = x.first + from * n;
    if (x.kind == ROWS_PLAIN && !x.dropout.threshold) return first;
    float* block = workspace.get<float>((size_t)BLOCK * n);
    if (x.kind == ROWS_SWIGLU) swiglu_range<float>(0, (int64_t)count * n, first, x.second + from * n, block);
    for (int i = 0; i < count; i++) {
        float* to = block + (int64_t)i * n;
        if (x.kind == ROWS_RMS_NORM) rms_norm_row(n, first + (int64_t)i * n, x.second, (float)x.eps, to);
        const float* read = x.kind == ROWS_PLAIN ? first + (int64_t)i * n : to;
        if (x.dropout.threshold)
            dropout_row(x.dropout, from + i, n, [=](int j, bool kept) { to[j] = kept ? read[j] : 0.0f; });
    }
    return block;
}

}  // namespace

void lora_down_of(int64_t rows, int n, int R, const RowSource& x, const float* a, float* h, const QuantizedRows& quantized) {
    lora_down(rows, n, R, x.first, a, h, quantized, [&](int64_t from, int count) { return read_rows(x, n, from, count); });
}

void lora_grad_a_of(int64_t rows, int n, int R, const float* g, const RowSource& x, float* grad_a) {
    lora_grad_a(rows, n, R, g, grad_a, [&](int64_t from, int count) { return read_rows(x, n, from, count); });
}

void lora_add_dropped(int64_t rows, int n, int R, const float* g, const float* a, const Dropout& dropout, float* out) {
    for_each_block(rows, omp_get_max_threads(), [&](int, int64_t from, int count) {
        static thread_local Workspace workspace;
        float* block = workspace.get<float>((size_t)BLOCK * n);
        small_gemm<float>(count, n, R, g + from * R, R, 1, a, n, block, n, false);
        for (int i = 0; i < count; i++) {
            const float* row = block + (int64_t)i * n;
            float* sum = out + (from + i) * n;
            dropout_row(dropout, from + i, n, [=](int j, bool kept) { sum[j] += kept ? row[j] : 0.0f; });
        }
    });
}

#define FOR_TYPE(T, NAME)                                                                                              \
    EXPORT void lora_down_##NAME(int64_t rows, int n, int R, const T* x, const T* a, T* h, int8_t* values,             \
                                 float* scales, int zero_point) {                                                      \
        lora_down(rows, n, R, x, a, h, {values, scales, zero_point},                                                   \
                  [=](int64_t from, int) { return x + from * n; });                                                    \
    }                                                                                                                  \
    EXPORT void lora_backward_b_##NAME(int64_t rows, int n, int R, const T* grad, const T* b, const T* h,              \
                                       int64_t h_row, double scale, T* g, int64_t g_row, T* grad_b, int8_t* values,    \
                                       float* scales, int zero_point) {                                                \
        lora_backward_b<T>(rows, n, R, grad, b, h, h_row, scale, g, g_row, grad_b, {values, scales, zero_point});      \
    }                                                                                                                  \
    EXPORT void lora_grad_a_##NAME(int64_t rows, int n, int R, const T* g, const T* x, T* grad_a) {                    \
        lora_grad_a(rows, n, R, g, grad_a, [=](int64_t from, int) { return x + from * n; });                           \
    }

FOR_TYPE(float, f32)
FOR_TYPE(double, f64)
