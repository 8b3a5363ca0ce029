// Products with frozen weights on vectors. A weight is packed by panels of columns, so that a tile reads it sequentially.
#include "gemm.h"
#include "microkernel.h"

namespace {

constexpr int LANES = Simd<float>::lanes;
constexpr int PANEL = 3 * LANES;                 // columns: a tile's
constexpr int64_t LAST_CACHE = 8 * 1024 * 1024;  // bytes of x that stay in the last-level cache while the weight is read
constexpr int MAX_DEPTH = 4096;                  // of k: a panel of that depth stays in the second-level cache

struct PackedLora : LoraEpilogue {
    const float* panel;  // b times the scale: (rank, PANEL)

    void start(int column, int count) {
        static thread_local std::vector<float> workspace;
        workspace.resize((size_t)rank * PANEL);
        for (int r = 0; r < rank; r++)
            for (int j = 0; j < count; j++) workspace[r * PANEL + j] = scale * b[r * b_row + (column + j) * b_col];
        panel = workspace.data();
    }
};

// Into how many parts the rows are divided, so that each thread gets equally many panels of them.
int64_t row_parts(int64_t bytes, int panels, int threads) {
    int64_t best = 1;
    double least = INFINITY;
    for (int64_t parts = 1 + (bytes - 1) / LAST_CACHE, end = parts + threads; parts < end; parts++) {
        const double rounds = (double)((panels * parts + threads - 1) / threads) / parts;
        const double cost = rounds * (1 + 0.02 * parts);  // each part packs its panels again
        if (cost < least) least = cost, best = parts;
    }
    return best;
}

template <int N, class Gemm>
void multiply_rows(Gemm& gemm, int64_t from, int64_t stop, int column) {
    constexpr int rows = std::min(MAX_TILE_ROWS, MAX_ACCUMULATORS / N);
    int64_t i = from;
    for (; i + rows <= stop; i += rows) {
        gemm.prefetch(rows, stop - from);
        gemm.template tile<rows, N>(i, column);
    }
    for (; i < stop; i++) gemm.template tile<1, N>(i, column);
}

// All of (rows, n), a run of panels per thread; a row of x has `bytes`.
template <class Gemm>
void multiply_panels(const Gemm& given, int64_t rows, int n, int bytes) {
    const int panels = (n + PANEL - 1) / PANEL, threads = omp_get_max_threads();
    const int64_t parts = row_parts(rows * bytes, panels, threads), units = panels * parts;
#pragma omp parallel for schedule(static, 1)
    for (int thread = 0; thread < threads; thread++) {
        Gemm gemm = given;
        const int64_t end = units * (thread + 1) / threads;
        for (int64_t unit = units * thread / threads; unit < end; unit++) {
            const int column = (int)(unit % panels) * PANEL, vectors = std::min(PANEL, n - column) / Simd<float>::lanes;
            const int64_t part = unit / panels, from = rows * part / parts, stop = rows * (part + 1) / parts;
            gemm.start(column, vectors, unit + 1 < end ? (int)((unit + 1) % panels) * PANEL : -1);
            if (vectors == 1) multiply_rows<1>(gemm, from, stop, column);
            if (vectors == 2) multiply_rows<2>(gemm, from, stop, column);
            if (vectors == 3) multiply_rows<3>(gemm, from, stop, column);
        }
    }
}

template <class S>
ALWAYS_INLINE void finish(S& sums, const PackedLora& lora, int64_t row, float* out, int n) {
    if (lora.rank) sums.add(lora.rank, {lora.h + row * lora.h_row, lora.h_row, 1}, {lora.panel, PANEL, LANES});
    sums.store(out, n);
}

#if VECTOR_BYTES >= 32
// A panel of w is packed when it is next, and the one after it is prefetched during the product.
struct Float32Gemm {
    int n, k;
    const float *x, *w;  // (rows, k; row stride x_row), (n, k; any strides)
    int64_t x_row, w_row, w_col;
    PackedLora lora;
    float* out;
    const float* residual;  // (rows, n), which may be `out`; or null
    const float* packed;
    Prefetch next;

    void start(int column, int vectors, int following) {
        static thread_local std::vector<float> workspace;
        workspace.resize((size_t)PANEL * k);
        lora.start(column, vectors * LANES);
        for (int block = 0; block < vectors; block++) pack(column + block * LANES, &workspace[(size_t)block * k * LANES]);
        packed = workspace.data();
        next = following < 0 ? Prefetch() : Prefetch(w + following * w_row, w_row, w_col, std::min(PANEL, n - following), k);
    }

    void pack(int column, float* block) const {
        const float* from = w + column * w_row;
        int i = 0;
        if (w_row == 1)
            for (; i < k; i++) std::memcpy(block + i * LANES, from + i * w_col, VECTOR_BYTES);
        else if (w_col == 1)
            for (; i + LANES <= k; i += LANES) transpose(LANES, from + i, w_row, block + i * LANES, LANES);
        for (; i < k; i++)
            for (int j = 0; j < LANES; j++) block[i * LANES + j] = from[j * w_row + i * w_col];
    }

    ALWAYS_INLINE void prefetch(int rows, int64_t of) { next.fetch(of / rows + 1); }

    template <int M, int N>
    inline void tile(int64_t row, int column) const {
        Accumulators<float, M, N> sums;
        float* here = out + row * n + column;
        residual ? sums.load(residual + row * n + column, n) : sums.clear();
        sums.add(k, {x + row * x_row, x_row, 1}, {packed, LANES, (int64_t)k * LANES});
        finish(sums, lora, row, here, n);
    }
};
#endif

#ifdef HAS_INT8_DOT
typedef int32_t Int32Vector __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));

// The weight is packed already.
struct Int8Gemm {
    int n, k;
    const uint8_t* x;  // (rows, k), zero point 128
    const float* x_scales;
    Int8Weight w;
    PackedLora lora;
    float* out;
    const float* residual;

    void start(int column, int vectors, int) { lora.start(column, vectors * LANES); }
    void prefetch(int, int64_t) {}
    const int8_t* columns_of(int column) const {
        return w.values + (int64_t)(column / LANE_MULTIPLE) * LANE_MULTIPLE * k + column % LANE_MULTIPLE * 4;
    }

    template <int M, int N>
    inline void tile(int64_t row, int column) const {
        tile<N>(std::make_integer_sequence<int, M * N>(), row, column);
    }

    template <int N, int... I>
    ALWAYS_INLINE void tile(std::integer_sequence<int, I...>, int64_t row, int column) const {
        constexpr int M = sizeof...(I) / N;
        Int32Vector sum[M * N] = {((void)I, Int32Vector{})...};
        const uint8_t* a = x + row * k;
        const int8_t* b[N];
        ((I < N ? void(b[I % N] = columns_of(column + I % N * LANES)) : void()), ...);
        for (int c = 0; c < k; c += 4) {
            Int32Vector right[N];
            ((I < N ? void(right[I % N] = *(const Int32Vector*)(b[I % N] + c * LANE_MULTIPLE)) : void()), ...);
            (dot_u8s8(sum[I], Int32Vector{} + *(const int32_t*)(a + (int64_t)(I / N) * k + c), right[I % N]), ...);
        }
        typedef Simd<float>::Vector V;
        Accumulators<float, M, N> sums;
        float* here = out + row * n + column;
        ((sums.sum[I] = __builtin_convertvector(sum[I] - *(const Int32Vector*)(w.compensation + column + I % N * LANES), V) *
                        *(const V*)(w.scales + column + I % N * LANES) * x_scales[row + I / N]),
         ...);
        const float* more = residual + row * n + column;
        if (residual) ((sums.sum[I] += *(const V*)(more + (int64_t)(I / N) * n + I % N * LANES)), ...);
        finish(sums, lora, row, here, n);
    }
};
#endif

}  // namespace

#if VECTOR_BYTES >= 32
EXPORT void gemm_f32(int64_t rows, int n, int k, const float* x, const float* w, int64_t w_row, int64_t w_col,
                     const LoraEpilogue* lora, float* out, const float* residual) {
    const LoraEpilogue none = {}, &epilogue = lora ? *lora : none;
    if (gemm_f32_amx(rows, n, k, x, {w, w_row, w_col}, epilogue, out, residual)) return;
    for (int from = 0; from < k; from += MAX_DEPTH) {
        const int depth = std::min(MAX_DEPTH, k - from);
        LoraEpilogue once = epilogue;
        if (from) once.rank = 0;
        const float* begin = from ? out : residual;
        const Float32Gemm gemm = {n,     depth,           x + from, w + from * w_col, k,  w_row,
                                  w_col, {once, nullptr}, out,      begin,            nullptr, {}};
        multiply_panels(gemm, rows, n, depth * (int)sizeof(float));
    }
}
#endif

#ifdef HAS_INT8_DOT
EXPORT void gemm_int8(int64_t rows, int n, int k, const uint8_t* x, const float* x_scales, const Int8Weight* w,
                      const LoraEpilogue* lora, float* out, const float* residual) {
    const LoraEpilogue none = {}, &epilogue = lora ? *lora : none;
    if (gemm_int8_amx(rows, n, k, x, x_scales, *w, epilogue, out, residual)) return;
    multiply_panels(Int8Gemm{n, k, x, x_scales, *w, {epilogue, nullptr}, out, residual}, rows, n, k);
}
#endif
