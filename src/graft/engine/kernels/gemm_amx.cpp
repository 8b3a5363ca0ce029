// Products on AMX tiles. float32 numbers are split into three bfloat16 numbers a = a1 + a2 + a3 of 8 bits each; of the nine
// products of pieces, the six above 2^-27 of the whole are summed in float32 (Henry, Tang, Heinecke 2019, arXiv:1904.06376).
#include "gemm.h"
#include "workspace.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__linux__)
#include "arch/amx.h"

namespace {

constexpr int64_t SECOND_CACHE = 1000 * 1024;      // bytes of a panel of w: it stays in the second-level cache
constexpr int64_t LAST_CACHE = 12 * 1024 * 1024;   // bytes of the pieces of x
constexpr int MAX_DEPTH = 768 * 3;                 // of k times pieces: a block of x stays in the second-level cache, too

// A block of rows of x as left tiles: (k / 32, P, 2, 16, 32), padded with zeros
template <int P>
void pack_left(int rows, int k, const float* x, int64_t x_row, Bfloat16* to) {
    for (int c = 0; c < k; c += TILE_DEPTH)
        for (int i = 0; i < BLOCK; i++) {
            const float* from = x + i * x_row + c;
            const __m512 none = _mm512_setzero_ps();
            const __m512 a = i < rows ? load_vector(from) : none;
            const __m512 b = i < rows && c + TILE_ROWS < k ? load_vector(from + TILE_ROWS) : none;
            Bfloat16* block = to + (int64_t)c / TILE_DEPTH * P * 2 * TILE_SIZE;
            Bfloat16* tiles = block + i / TILE_ROWS * TILE_SIZE + i % TILE_ROWS * TILE_DEPTH;
            for (int p = 0; p < P; p++) __builtin_prefetch(tiles + (P + p) * 2 * TILE_SIZE, 1);  // written next
            split<P>(a, b, [&](int p, __m512i piece) { _mm512_store_si512(tiles + p * 2 * TILE_SIZE, piece); });
        }
}

// A block of columns of w as right tiles: (k / 32, P, 2, 16, 16, 2), pairs along k next to each other
template <int P>
void pack_right(int columns, int k, const WeightView& w, Bfloat16* to) {
    const __m512 none = _mm512_setzero_ps();
    alignas(64) Bfloat16 rows[P * TILE_SIZE];
    for (int c = 0; c < k; c += TILE_DEPTH)
        for (int j = 0; j < BLOCK; j += TILE_ROWS) {
            Bfloat16* tiles = to + (int64_t)c / TILE_DEPTH * P * 2 * TILE_SIZE + j / TILE_ROWS * TILE_SIZE;
            if (j >= columns) {
                for (int p = 0; p < P; p++) std::memset(tiles + p * 2 * TILE_SIZE, 0, TILE_SIZE * sizeof(Bfloat16));
            } else if (w.row == 1) {
                for (int i = 0; i < TILE_ROWS; i++) {
                    const float* from = w.data + j + (c + 2 * i) * w.col;
                    const bool inside = c + 2 * i < k;
                    const __m512 a = inside ? load_vector(from) : none, b = inside ? load_vector(from + w.col) : none;
                    split<P>(a, b, [&](int p, __m512i piece) {
                        _mm512_store_si512(tiles + p * 2 * TILE_SIZE + i * TILE_DEPTH, interleave_halves(piece));
                    });
                }
            } else {
                for (int i = 0; i < TILE_ROWS; i++) {
                    const float* from = w.data + (j + i) * w.row + c;
                    split<P>(load_vector(from), c + TILE_ROWS < k ? load_vector(from + TILE_ROWS) : none,
                             [&](int p, __m512i piece) { _mm512_store_si512(rows + p * TILE_SIZE + i * TILE_DEPTH, piece); });
                }
                for (int p = 0; p < P; p++) {
                    const float* piece = (const float*)(rows + p * TILE_SIZE);
                    transpose<float>(TILE_ROWS, piece, TILE_ROWS, (float*)(tiles + p * 2 * TILE_SIZE), TILE_ROWS);
                }
            }
        }
}

// The low-rank part extends k: the pieces of its six products one after the other.
constexpr int LEFT_PIECE[] = {1, 0, 2, 0, 1, 0}, RIGHT_PIECE[] = {1, 2, 0, 1, 0, 0}, PRODUCTS = 6;

// (6 R / 32, 2, 16, 32) of h (rows, R)
void pack_lora_left(int rows, int R, const float* h, int64_t h_row, Bfloat16* to) {
    for (int i = 0; i < BLOCK; i++)
        for (int r = 0; r < R; r += TILE_ROWS) {
            const __m512 a = i < rows ? load_vector(h + i * h_row + r) : _mm512_setzero_ps();
            __m256i pieces[3];
            split<3>(a, a, [&](int p, __m512i piece) { pieces[p] = _mm512_castsi512_si256(piece); });
            for (int product = 0; product < PRODUCTS; product++) {
                const int c = product * R + r, tile = c / TILE_DEPTH * 2 + i / TILE_ROWS;
                _mm256_store_si256((__m256i*)(to + tile * TILE_SIZE + i % TILE_ROWS * TILE_DEPTH + c % TILE_DEPTH),
                                   pieces[LEFT_PIECE[product]]);
            }
        }
}

// (6 R / 32, 2, 16, 16, 2) of scale * b (R, columns from `column`)
void pack_lora_right(int columns, const LoraEpilogue& lora, int column, Bfloat16* to) {
    alignas(64) float square[TILE_ROWS * TILE_ROWS];  // 16 rows of b, 16 columns
    for (int j = 0; j < BLOCK; j += TILE_ROWS)
        for (int r = 0; r < lora.rank; r += TILE_ROWS) {
            const float* from = lora.b + column * lora.b_col + r * lora.b_row + j * lora.b_col;
            if (j >= columns)
                std::memset(square, 0, sizeof square);
            else if (lora.b_row == 1)
                transpose<float>(TILE_ROWS, from, lora.b_col, square, TILE_ROWS);
            else
                for (int i = 0; i < TILE_ROWS * TILE_ROWS; i++)
                    square[i] = from[i / TILE_ROWS * lora.b_row + i % TILE_ROWS * lora.b_col];
            for (int i = 0; i < TILE_ROWS; i += 2) {
                __m512i pieces[3];
                split<3>(load_vector(square + i * TILE_ROWS) * lora.scale, load_vector(square + (i + 1) * TILE_ROWS) * lora.scale,
                         [&](int p, __m512i piece) { pieces[p] = interleave_halves(piece); });
                for (int product = 0; product < PRODUCTS; product++) {
                    const int c = product * lora.rank + r + i, tile = c / TILE_DEPTH * 2 + j / TILE_ROWS;
                    _mm512_store_si512(to + tile * TILE_SIZE + c % TILE_DEPTH / 2 * TILE_DEPTH, pieces[RIGHT_PIECE[product]]);
                }
            }
        }
}

// Where the sums of a block are: rows by columns of an output with n columns. Partial blocks go through `partial`.
struct Block {
    int rows, columns, n;
    float* partial;   // (32, 32)
    int32_t* counts;  // (32, 32): sums of int8 products

    bool whole() const { return rows == BLOCK && columns == BLOCK; }
    void load(const float* from) const {
        if (!from) {
            zero_sums();
        } else if (whole()) {
            load_sums(from, n);
        } else {
            for (int i = 0; i < rows; i++) std::memcpy(partial + i * BLOCK, from + (int64_t)i * n, columns * sizeof(float));
            load_sums(partial, BLOCK);
        }
    }
    void store(float* to) const {
        if (whole()) return store_sums(to, n);
        store_sums(partial, BLOCK);
        for (int i = 0; i < rows; i++) std::memcpy(to + (int64_t)i * n, partial + i * BLOCK, columns * sizeof(float));
    }
};

// What `multiply` below takes: how x and w are packed, and what is done before, within and after the float32 sums of a block.
// This one splits float32 numbers into P pieces.
template <int P>
struct SplitGemm {
    int k;
    const float* x;
    int64_t x_row;
    WeightView w;
    Bfloat16* pieces;  // of x

    int depth() const { return (k + TILE_DEPTH - 1) / TILE_DEPTH; }
    int64_t size() const { return (int64_t)depth() * P * 2 * TILE_SIZE; }  // numbers of a packed block of rows or columns
    void pack_rows(int block, int rows) const {
        pack_left<P>(rows, k, x + (int64_t)block * BLOCK * x_row, x_row, pieces + block * size());
    }
    void pack_columns(int column, int columns, Bfloat16* to) const {
        pack_right<P>(columns, k, {w.data + column * w.row, w.row, w.col}, to);
    }
    Prefetch prefetch(int column, int columns) const { return {w.data + column * w.row, w.row, w.col, columns, k}; }
    ALWAYS_INLINE void before(int, int, const Block&) const {}
    ALWAYS_INLINE void add(int block, const Bfloat16* right) const {
        const Bfloat16* a = pieces + block * size();
        for (int d = 0; d < depth(); d++) add_product<P>(a + d * P * 2 * TILE_SIZE, right + d * P * 2 * TILE_SIZE);
    }
    ALWAYS_INLINE void after(int, int, const Block&, float*) const {}
};

// int8: rows of x with zero point 128, and a weight that is packed already.
struct Int8TileGemm {
    int k;
    const uint8_t* x;  // (rows, k)
    const float* x_scales;
    Int8Weight w;
    int partial_block;  // the block with fewer than 32 rows, or -1,
    uint8_t* padded;    // and its rows with zeros below

    int64_t size() const { return 0; }
    void pack_rows(int block, int rows) const {
        if (block != partial_block) return;
        std::memcpy(padded, x + (int64_t)block * BLOCK * k, (size_t)rows * k);
        std::memset(padded + rows * k, 0, (size_t)(BLOCK - rows) * k);
    }
    void pack_columns(int, int, Bfloat16*) const {}
    Prefetch prefetch(int, int) const { return {}; }
    ALWAYS_INLINE void before(int block, int column, const Block& place) const {
        zero_sums();
        const uint8_t* a = block == partial_block ? padded : x + (int64_t)block * BLOCK * k;
        const int8_t *b = w.values + (int64_t)column * k, *c = place.columns == BLOCK ? b + TILE_ROWS * k : b;
        for (int d = 0; d < k; d += 64) {
            _tile_loadd(4, a + d, k);
            _tile_loadd(5, a + TILE_ROWS * k + d, k);
            _tile_loadd(6, b + d * TILE_ROWS, 64);
            _tile_loadd(7, c + d * TILE_ROWS, 64);
            dot_u8s8_tiles();
        }
        store_sums((float*)place.counts, BLOCK);
    }
    ALWAYS_INLINE void add(int, const Bfloat16*) const {}
    ALWAYS_INLINE void after(int block, int column, const Block& place, float* out) const {
        for (int j = 0; j < place.columns; j += TILE_ROWS) {
            const __m512 scale = load_vector(w.scales + column + j);
            const __m512i compensation = _mm512_loadu_si512(w.compensation + column + j);
            for (int i = 0; i < place.rows; i++) {
                const __m512i sum = _mm512_load_si512(place.counts + i * BLOCK + j);
                const __m512 factor = scale * _mm512_set1_ps(x_scales[block * BLOCK + i]);
                float* here = out + (int64_t)i * place.n + j;
                _mm512_storeu_ps(here, load_vector(here) + _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, compensation)) * factor);
            }
        }
    }
};

// out (rows, n) = [residual +] what `gemm` multiplies + the low-rank part. Each thread takes some of the columns.
template <class Gemm>
void multiply(int64_t rows, int n, const Gemm& gemm, const LoraEpilogue& lora, float* out, const float* residual) {
    static thread_local Workspace shared_workspace;
    const int lora_depth = lora.rank * PRODUCTS / TILE_DEPTH;
    const int blocks = (int)((rows + BLOCK - 1) / BLOCK), columns = (n + BLOCK - 1) / BLOCK;
    const int64_t lora_size = (int64_t)lora_depth * 2 * TILE_SIZE, size = gemm.size() + lora_size;
    Bfloat16* lora_left = shared_workspace.get<Bfloat16>(lora_size * blocks);
#pragma omp parallel
    {
        static thread_local Workspace workspace;
        alignas(64) float partial[BLOCK * BLOCK];
        alignas(64) int32_t counts[BLOCK * BLOCK];
#pragma omp for schedule(static)
        for (int block = 0; block < blocks; block++) {
            const int64_t from = (int64_t)block * BLOCK;
            const int some = (int)std::min<int64_t>(BLOCK, rows - from);
            gemm.pack_rows(block, some);
            pack_lora_left(some, lora.rank, lora.h + from * lora.h_row, lora.h_row, lora_left + block * lora_size);
        }
        const TileConfig config;
        const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
        const int first = (int)((int64_t)columns * thread / threads), last = (int)((int64_t)columns * (thread + 1) / threads);
        const int most = (int)std::max<int64_t>(1, SECOND_CACHE / (std::max<int64_t>(size, 1) * (int64_t)sizeof(Bfloat16)));
        const int panels = (last - first + most - 1) / most;
        Bfloat16* packed = workspace.get<Bfloat16>(size * most);
        for (int panel = 0; panel < panels; panel++) {
            const int begin = first + (last - first) * panel / panels, end = first + (last - first) * (panel + 1) / panels;
            for (int c = begin; c < end; c++) {
                const int column = c * BLOCK, some = std::min(BLOCK, n - column);
                Bfloat16* here = packed + (c - begin) * size;
                gemm.pack_columns(column, some, here);
                pack_lora_right(some, lora, column, here + gemm.size());
            }
            const int after = first + (last - first) * std::min(panels, panel + 2) / panels;  // where the next panel ends
            Prefetch next = gemm.prefetch(end * BLOCK, std::min(n, after * BLOCK) - std::min(n, end * BLOCK));
            for (int block = 0; block < blocks; block++) {
                const int some = (int)std::min<int64_t>(BLOCK, rows - (int64_t)block * BLOCK);
                next.fetch(blocks);
                for (int c = begin; c < end; c++) {
                    const int column = c * BLOCK;
                    const Block place{some, std::min(BLOCK, n - column), n, partial, counts};
                    const int64_t at = (int64_t)block * BLOCK * n + column;
                    const Bfloat16 *right = packed + (c - begin) * size, *b = right + gemm.size();
                    const Bfloat16* a = lora_left + block * lora_size;
                    gemm.before(block, column, place);
                    place.load(residual ? residual + at : nullptr);
                    gemm.add(block, right);
                    for (int d = 0; d < lora_depth; d++) add_product<1>(a + d * 2 * TILE_SIZE, b + d * 2 * TILE_SIZE);
                    place.store(out + at);
                    gemm.after(block, column, place, out + at);
                }
            }
        }
    }
}

// Takes as many rows and as much of k at a time as keeps their pieces in the caches. False where the sizes do not fit.
template <int P>
bool multiply_split(int64_t rows, int n, const SplitGemm<P>& whole, const LoraEpilogue& lora, float* out, const float* residual) {
    const int k = whole.k;
    if (n % TILE_ROWS || k % TILE_ROWS || lora.rank % TILE_ROWS || (whole.w.row != 1 && whole.w.col != 1) || !request_amx())
        return false;
    static thread_local Workspace workspace;
    const int times = (k * P + MAX_DEPTH - 1) / MAX_DEPTH;
    const int most = ((k + times - 1) / times + TILE_DEPTH - 1) / TILE_DEPTH * TILE_DEPTH;
    const int64_t blocks = (rows + BLOCK - 1) / BLOCK, size = (int64_t)most * BLOCK * P;
    const int64_t parts = (blocks * size * (int64_t)sizeof(Bfloat16) + LAST_CACHE - 1) / LAST_CACHE;
    Bfloat16* pieces = workspace.get<Bfloat16>(size * ((blocks + parts - 1) / parts));
    for (int64_t part = 0; part < parts; part++) {
        const int64_t from = blocks * part / parts * BLOCK, stop = std::min(rows, blocks * (part + 1) / parts * BLOCK);
        for (int c = 0; c < k; c += most) {
            const float *x = whole.x + from * whole.x_row + c, *w = whole.w.data + c * whole.w.col;
            const SplitGemm<P> gemm = {std::min(most, k - c), x, whole.x_row, {w, whole.w.row, whole.w.col}, pieces};
            LoraEpilogue once = lora;
            once.h += from * once.h_row;
            if (c) once.rank = 0;
            const float* begin = c ? out : residual;
            multiply(stop - from, n, gemm, once, out + from * n, begin ? begin + from * n : nullptr);
        }
    }
    return true;
}

}  // namespace

bool gemm_f32_amx(int64_t rows, int n, int k, const float* x, const WeightView& w, const LoraEpilogue& lora, float* out,
                  const float* residual) {
    return multiply_split(rows, n, SplitGemm<3>{k, x, k, w, nullptr}, lora, out, residual);
}

bool gemm_int8_amx(int64_t rows, int n, int k, const uint8_t* x, const float* x_scales, const Int8Weight& w,
                   const LoraEpilogue& lora, float* out, const float* residual) {
    if (n % TILE_ROWS || k % 64 || lora.rank % TILE_ROWS || !request_amx()) return false;
    static thread_local Workspace workspace;
    const int partial = rows % BLOCK ? (int)(rows / BLOCK) : -1;
    uint8_t* padded = partial < 0 ? nullptr : workspace.get<uint8_t>((size_t)BLOCK * k);
    multiply(rows, n, Int8TileGemm{k, x, x_scales, w, partial, padded}, lora, out, residual);
    return true;
}

EXPORT int amx_available() { return request_amx(); }

EXPORT void gemm_bf16(int64_t rows, int n, int k, const float* x, const float* w, int64_t w_row, int64_t w_col,
                      const LoraEpilogue* lora, float* out, const float* residual) {
    const LoraEpilogue none = {};
    multiply_split(rows, n, SplitGemm<1>{k, x, k, {w, w_row, w_col}, nullptr}, lora ? *lora : none, out, residual);
}
#else
bool gemm_f32_amx(int64_t, int, int, const float*, const WeightView&, const LoraEpilogue&, float*, const float*) { return false; }
bool gemm_int8_amx(int64_t, int, int, const uint8_t*, const float*, const Int8Weight&, const LoraEpilogue&, float*,
                   const float*) {
    return false;
}
EXPORT int amx_available() { return 0; }
#endif
