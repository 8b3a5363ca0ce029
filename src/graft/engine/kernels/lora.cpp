// The narrow products of LoRA, each in one pass over the wide matrix that it reads. R, the ranks of all adapters of an input,
// is a multiple of the lanes.
#include "gemm.h"

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

// h (rows, R) = read(from, count) as rows of n, times aᵀ of a (R, n); codes are of x (rows, n)
template <class T, class Read>
void low_rank_down(int64_t rows, int n, int R, const T* x, const T* a, T* h, Codes codes, Read read) {
    std::vector<T> turned((size_t)n * R);
    for (int j = 0; j < n; j += 16)
        for (int r = 0; r < R; r++)
            for (int i = j; i < std::min(n, j + 16); i++) turned[(size_t)i * R + r] = a[(int64_t)r * n + i];
    by_blocks(rows, omp_get_max_threads(), [&](int, int64_t from, int count) {
        take_codes(codes, x, from, count, n);
        product<T>(count, R, n, read(from, count), n, 1, turned.data(), R, h + from * R, R, false);
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

// each(j, whether it is kept) of the n numbers of a row. 64 bits of key and row (splitmix64: Steele, Lea, Flood 2014) go into
// two rounds of a hash of 32 (multiply and shift: Wellons 2018, "Prospecting for hash functions").
template <class Each>
ALWAYS void kept(const Drop& drop, int64_t row, int n, Each each) {
    uint64_t mixed = drop.key + (uint64_t)(row + 1) * 0x9e3779b97f4a7c15;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    mixed ^= mixed >> 31;
    const uint32_t first = (uint32_t)mixed, second = (uint32_t)(mixed >> 32), below = drop.below;
#pragma omp simd
    for (int j = 0; j < n; j++) {
        uint32_t hash = (uint32_t)j * 0x9e3779b9u + first;
        hash = (hash ^ hash >> 16) * 0x7feb352du + second;
        hash = (hash ^ hash >> 15) * 0x846ca68bu;
        each(j, (hash ^ hash >> 16) >= below);
    }
}

// A block of rows as adapters read them; a thread's next block is in its place.
const float* rows_of(const Rows& x, int n, int64_t from, int count) {
    static thread_local Room room;
    const float* one = x.one + from * n;
    if (x.kind == Rows::PLAIN && !x.drop.below) return one;
    float* made = room.of<float>((size_t)BLOCK * n);
    if (x.kind == Rows::GATED) gated<float>(0, (int64_t)count * n, one, x.two + from * n, made);
    for (int i = 0; i < count; i++) {
        float* to = made + (int64_t)i * n;
        if (x.kind == Rows::NORMED) normed(n, one + (int64_t)i * n, x.two, x.eps, to);
        const float* read = x.kind == Rows::PLAIN ? one + (int64_t)i * n : to;
        if (x.drop.below) kept(x.drop, from + i, n, [=](int j, bool there) { to[j] = there ? read[j] : 0.0f; });
    }
    return made;
}

}  // namespace

void down_of(int64_t rows, int n, int R, const Rows& x, const float* a, float* h, int8_t* codes, float* scales, int more) {
    low_rank_down(rows, n, R, x.one, a, h, {codes, scales, more},
                  [&](int64_t from, int count) { return rows_of(x, n, from, count); });
}

void outer_of(int64_t rows, int n, int R, const float* g, const Rows& x, float* da) {
    low_rank_outer(rows, n, R, g, da, [&](int64_t from, int count) { return rows_of(x, n, from, count); });
}

void add_kept(int64_t rows, int n, int R, const float* g, const float* a, const Drop& drop, float* to) {
    by_blocks(rows, omp_get_max_threads(), [&](int, int64_t from, int count) {
        static thread_local Room room;
        float* made = room.of<float>((size_t)BLOCK * n);
        product<float>(count, n, R, g + from * R, R, 1, a, n, made, n, false);
        for (int i = 0; i < count; i++) {
            const float* some = made + (int64_t)i * n;
            float* sum = to + (from + i) * n;
            kept(drop, from + i, n, [=](int j, bool there) { sum[j] += there ? some[j] : 0.0f; });
        }
    });
}

#define FOR_TYPE(T, NAME)                                                                                              \
    EXPORT void low_rank_down_##NAME(int64_t rows, int n, int R, const T* x, const T* a, T* h, int8_t* codes,          \
                                     float* scales, int more) {                                                        \
        low_rank_down(rows, n, R, x, a, h, {codes, scales, more},                                                      \
                      [=](int64_t from, int) { return x + from * n; });                                                \
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
