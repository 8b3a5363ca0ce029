// The narrow products of LoRA, each in one pass over the wide matrix that it reads. R, the ranks of all adapters of an input,
// is a multiple of the lanes.
#include "products.h"

namespace {

constexpr int BLOCK = 32;  // tokens at once: their rows stay in the cache for both products of a pass

// What a thread does of `rows`, in blocks.
template <class Each>
void by_blocks(int64_t rows, int parts, Each each) {
#pragma omp parallel for schedule(static, 1)
    for (int part = 0; part < parts; part++) {
        const int64_t stop = rows * (part + 1) / parts;
        for (int64_t from = rows * part / parts; from < stop; from += BLOCK)
            each(part, from, (int)std::min<int64_t>(BLOCK, stop - from));
    }
}

// to (count) = factor times the sum over all rows: each thread's by each(sum, add, from, count), then theirs in their order
template <class T, class Each>
void summed(int64_t rows, int64_t size, T factor, T* to, Each each) {
    const int parts = omp_get_max_threads();
    std::vector<std::vector<T>> sums(parts);
    by_blocks(rows, parts, [&](int part, int64_t from, int count) {
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

// Where the codes of the rows that go by are wanted: (rows, n), and their scales (rows)
struct Codes {
    int8_t* to;
    float* scales;
    int more;
};

inline void take_codes(const Codes& codes, const float* x, int64_t from, int count, int n) {
    if (codes.to)
        for (int64_t i = from; i < from + count; i++)
            codes.scales[i] = codes_of(x + i * n, n, codes.to + i * n, codes.more);
}
inline void take_codes(const Codes&, const double*, int64_t, int, int) {}

// h (rows, R) = x (rows, n) aᵀ of a (R, n)
template <class T>
void low_rank_down(int64_t rows, int n, int R, const T* x, const T* a, T* h, Codes codes) {
    std::vector<T> turned((size_t)n * R);
    for (int j = 0; j < n; j += 16)
        for (int r = 0; r < R; r++)
            for (int i = j; i < std::min(n, j + 16); i++) turned[(size_t)i * R + r] = a[(int64_t)r * n + i];
    by_blocks(rows, omp_get_max_threads(), [&](int, int64_t from, int count) {
        take_codes(codes, x, from, count, n);
        product<T>(count, R, n, x + from * n, n, 1, turned.data(), R, h + from * R, R, false);
    });
}

// g (rows, R of g_row) = scale * grad (rows, n) b (n, R); db (n, R) = scale * gradᵀ h (rows, R of h_row)
template <class T>
void low_rank_gradients(int64_t rows, int n, int R, const T* grad, const T* b, const T* h, int64_t h_row, double scale, T* g,
                        int64_t g_row, T* db, Codes codes) {
    summed(rows, (int64_t)n * R, (T)scale, db, [&](T* sum, bool add, int64_t from, int count) {
        const T* block = grad + from * n;
        take_codes(codes, grad, from, count, n);
        product<T>(count, R, n, block, n, 1, b, R, g + from * g_row, g_row, false);
        for (int i = 0; i < count; i++)
            for (int r = 0; r < R; r++) g[(from + i) * g_row + r] *= (T)scale;
        product<T>(n, R, count, block, 1, n, h + from * h_row, h_row, sum, R, add);
    });
}

// da (R, n) = gᵀ x of g (rows, R), x(from, count) as rows of n, n is a multiple of the lanes
template <class T, class X>
void low_rank_outer(int64_t rows, int n, int R, const T* g, T* da, X x) {
    summed(rows, (int64_t)n * R, T(1), da, [&](T* sum, bool add, int64_t from, int count) {
        product<T>(R, n, count, g + from * R, 1, R, x(from, count), n, sum, n, add);
    });
}

}  // namespace

void outer_of(int64_t rows, int n, int R, const float* g, const Rows& x, float* da) {
    low_rank_outer(rows, n, R, g, da, [&](int64_t from, int count) -> const float* {
        static thread_local Room room;
        const float* one = x.one + from * n;
        if (x.kind == Rows::PLAIN) return one;
        float* made = room.of<float>((size_t)BLOCK * n);
        if (x.kind == Rows::GATED)
            gated<float>(0, (int64_t)count * n, one, x.two + from * n, made);
        else
            for (int i = 0; i < count; i++) normed(n, one + (int64_t)i * n, x.two, x.eps, made + (int64_t)i * n);
        return made;
    });
}

#define FOR_TYPE(T, NAME)                                                                                              \
    EXPORT void low_rank_down_##NAME(int64_t rows, int n, int R, const T* x, const T* a, T* h, int8_t* codes,          \
                                     float* scales, int more) {                                                        \
        low_rank_down<T>(rows, n, R, x, a, h, {codes, scales, more});                                                  \
    }                                                                                                                  \
    EXPORT void low_rank_gradients_##NAME(int64_t rows, int n, int R, const T* grad, const T* b, const T* h,           \
                                          int64_t h_row, double scale, T* g, int64_t g_row, T* db, int8_t* codes,      \
                                          float* scales, int more) {                                                   \
        low_rank_gradients<T>(rows, n, R, grad, b, h, h_row, scale, g, g_row, db, {codes, scales, more});              \
    }                                                                                                                  \
    EXPORT void low_rank_outer_##NAME(int64_t rows, int n, int R, const T* g, const T* x, T* da) {                     \
        low_rank_outer(rows, n, R, g, da, [=](int64_t from, int) { return x + from * n; });                            \
    }

FOR_TYPE(float, f32)
FOR_TYPE(double, f64)
