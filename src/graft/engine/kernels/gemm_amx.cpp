// Products by matrix tiles (AMX): 16 rows of 64 bytes. float32 goes as three bfloat16 numbers a = a1 + a2 + a3 of 8 bits each;
// of the nine products the six above 2^-27 of the whole are taken and summed in float32 (Henry, Tang, Heinecke 2019,
// arXiv:1904.06376, section 3).
#include "simd.h"
#include "gemm.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

namespace {

constexpr int SIDE = 16, DEEP = 32;        // rows of a tile; numbers of bfloat16 in its row
constexpr int TILE = SIDE * DEEP;          // numbers
constexpr int BLOCK = 2 * SIDE;            // rows and columns of a block of four tiles of sums
constexpr int64_t KEPT = 1000 * 1024;      // bytes of a panel of w: they stay in the second cache
constexpr int64_t TAKEN = 12 * 1024 * 1024;  // bytes of the pieces of x
constexpr int DEEPEST = 768 * 3;           // numbers of k by pieces: a block of x stays in the second cache, too

// The system lends the tiles' registers to those who ask.
bool ready() {
    constexpr long REQUEST = 0x1023, TILES = 18;
    static const bool granted = syscall(SYS_arch_prctl, REQUEST, TILES) == 0;
    return granted;
}

struct alignas(64) Shape {
    uint8_t palette = 1, start = 0, none[14] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

struct Tiles {
    Tiles() {
        static const Shape shape;
        _tile_loadconfig(&shape);
    }
    ~Tiles() { _tile_release(); }
};

typedef uint16_t Number;  // of bfloat16

ALWAYS __m512i bits(__m512bh v) { return (__m512i)v; }

// Two vectors as P pieces each, side by side; what a piece leaves goes into the next one.
template <int P, class Each>
ALWAYS void split(__m512 a, __m512 b, Each each) {
    for (int p = 0; p < P; p++) {
        const __m512i piece = bits(_mm512_cvtne2ps_pbh(b, a));
        each(p, piece);
        if (p + 1 == P) return;
        a -= _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(piece)), 16));
        b -= _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(piece, 1)), 16));
    }
}

ALWAYS __m512 load(const float* from) { return _mm512_loadu_ps(from); }

// A block of rows of x as left tiles: (k / 32, P, 2, 16, 32), zeros beyond
template <int P>
void left(int rows, int k, const float* x, int64_t x_row, Number* to) {
    for (int c = 0; c < k; c += DEEP)
        for (int i = 0; i < BLOCK; i++) {
            const float* from = x + i * x_row + c;
            const __m512 none = _mm512_setzero_ps();
            const __m512 a = i < rows ? load(from) : none, b = i < rows && c + SIDE < k ? load(from + SIDE) : none;
            Number* tiles = to + (int64_t)c / DEEP * P * 2 * TILE + i / SIDE * TILE + i % SIDE * DEEP;
            for (int p = 0; p < P; p++) __builtin_prefetch(tiles + (P + p) * 2 * TILE, 1);  // where the next ones go
            split<P>(a, b, [&](int p, __m512i piece) { _mm512_store_si512(tiles + p * 2 * TILE, piece); });
        }
}

// What stands in two halves, by turns.
ALWAYS __m512i paired(__m512i piece) {
    return _mm512_permutexvar_epi16(_mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                                     21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0),
                                    piece);
}

// Columns of w as right tiles, two columns of tiles: (k / 32, P, 2, 16, 16, 2), pairs along k side by side
template <int P>
void right(int columns, int k, const float* w, int64_t w_row, int64_t w_col, Number* to) {
    const __m512 none = _mm512_setzero_ps();
    alignas(64) Number rows[P * TILE];
    for (int c = 0; c < k; c += DEEP)
        for (int j = 0; j < BLOCK; j += SIDE) {
            Number* tiles = to + (int64_t)c / DEEP * P * 2 * TILE + j / SIDE * TILE;
            if (j >= columns) {
                for (int p = 0; p < P; p++) std::memset(tiles + p * 2 * TILE, 0, TILE * sizeof(Number));
            } else if (w_row == 1) {
                for (int i = 0; i < SIDE; i++) {
                    const float* from = w + j + (c + 2 * i) * w_col;
                    const bool there = c + 2 * i < k;
                    split<P>(there ? load(from) : none, there ? load(from + w_col) : none, [&](int p, __m512i piece) {
                        _mm512_store_si512(tiles + p * 2 * TILE + i * DEEP, paired(piece));
                    });
                }
            } else {
                for (int i = 0; i < SIDE; i++) {
                    const float* from = w + (j + i) * w_row + c;
                    split<P>(load(from), c + SIDE < k ? load(from + SIDE) : none,
                             [&](int p, __m512i piece) { _mm512_store_si512(rows + p * TILE + i * DEEP, piece); });
                }
                for (int p = 0; p < P; p++)
                    turn<float>(SIDE, (const float*)(rows + p * TILE), SIDE, (float*)(tiles + p * 2 * TILE), SIDE);
            }
        }
}

// The low-rank part as more of k: its six products of pieces one behind the other.
constexpr int LEFT[] = {1, 0, 2, 0, 1, 0}, RIGHT[] = {1, 2, 0, 1, 0, 0}, PRODUCTS = 6;

// (6 R / 32, 2, 16, 32) of low (rows, R)
void left_low(int rows, int R, const float* low, int64_t low_row, Number* to) {
    for (int i = 0; i < BLOCK; i++)
        for (int r = 0; r < R; r += SIDE) {
            const __m512 a = i < rows ? load(low + i * low_row + r) : _mm512_setzero_ps();
            __m256i pieces[3];
            split<3>(a, a, [&](int p, __m512i piece) { pieces[p] = _mm512_castsi512_si256(piece); });
            for (int product = 0; product < PRODUCTS; product++) {
                const int c = product * R + r;
                _mm256_store_si256((__m256i*)(to + c / DEEP * 2 * TILE + i / SIDE * TILE + i % SIDE * DEEP + c % DEEP),
                                   pieces[LEFT[product]]);
            }
        }
}

// (6 R / 32, 2, 16, 16, 2) of b (R, columns)
void right_low(int columns, int R, const float* b, int64_t b_row, int64_t b_col, float scale, Number* to) {
    alignas(64) float some[SIDE * SIDE];  // 16 rows of b, 16 columns
    for (int j = 0; j < BLOCK; j += SIDE)
        for (int r = 0; r < R; r += SIDE) {
            const float* from = b + r * b_row + j * b_col;
            if (j >= columns)
                std::memset(some, 0, sizeof some);
            else if (b_row == 1)
                turn<float>(SIDE, from, b_col, some, SIDE);
            else
                for (int i = 0; i < SIDE * SIDE; i++) some[i] = from[i / SIDE * b_row + i % SIDE * b_col];
            for (int i = 0; i < SIDE; i += 2) {
                __m512i pieces[3];
                split<3>(load(some + i * SIDE) * scale, load(some + (i + 1) * SIDE) * scale,
                         [&](int p, __m512i piece) { pieces[p] = paired(piece); });
                for (int product = 0; product < PRODUCTS; product++) {
                    const int c = product * R + r + i;
                    _mm512_store_si512(to + c / DEEP * 2 * TILE + j / SIDE * TILE + c % DEEP / 2 * DEEP, pieces[RIGHT[product]]);
                }
            }
        }
}

ALWAYS void four() {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
}
ALWAYS void take_left(const Number* a) {
    _tile_loadd(4, a, 64);
    _tile_loadd(5, a + TILE, 64);
}
ALWAYS void take_right(const Number* b) {
    _tile_loadd(6, b, 64);
    _tile_loadd(7, b + TILE, 64);
}

// The six products of pieces, in an order in which one factor stays: 22, 21, 31, 11, 12, 13
template <int P>
ALWAYS void add(const Number* a, const Number* b) {
    if constexpr (P == 3) {
        take_left(a + 2 * TILE), take_right(b + 2 * TILE), four();
        take_right(b), four();
        take_left(a + 4 * TILE), four();
        take_left(a), four();
        take_right(b + 2 * TILE), four();
        take_right(b + 4 * TILE), four();
    } else {
        take_left(a), take_right(b), four();
    }
}

// The sums from memory (rows to the next: n) or zeros, and back; blocks that are not whole go by way of `small`.
struct Block {
    int rows, columns, n;
    float* small;            // (32, 32)
    int32_t* whole_numbers;  // (32, 32)

    bool whole() const { return rows == BLOCK && columns == BLOCK; }
    ALWAYS static void from(const float* at, int64_t row) {
        _tile_loadd(0, at, row * 4);
        _tile_loadd(1, at + SIDE, row * 4);
        _tile_loadd(2, at + SIDE * row, row * 4);
        _tile_loadd(3, at + SIDE * row + SIDE, row * 4);
    }
    ALWAYS static void into(float* at, int64_t row) {
        _tile_stored(0, at, row * 4);
        _tile_stored(1, at + SIDE, row * 4);
        _tile_stored(2, at + SIDE * row, row * 4);
        _tile_stored(3, at + SIDE * row + SIDE, row * 4);
    }
    void load(const float* at) const {
        if (!at) {
            _tile_zero(0);
            _tile_zero(1);
            _tile_zero(2);
            _tile_zero(3);
        } else if (whole()) {
            from(at, n);
        } else {
            for (int i = 0; i < rows; i++) std::memcpy(small + i * BLOCK, at + (int64_t)i * n, columns * sizeof(float));
            from(small, BLOCK);
        }
    }
    void store(float* at) const {
        if (whole()) return into(at, n);
        into(small, BLOCK);
        for (int i = 0; i < rows; i++) std::memcpy(at + (int64_t)i * n, small + i * BLOCK, columns * sizeof(float));
    }
};

// float32 numbers as P pieces
template <int P>
struct Pieces {
    int k;
    const float* x;
    int64_t x_row;
    const float* w;
    int64_t w_row, w_col;
    Number* pieces;  // of x

    int deep() const { return (k + DEEP - 1) / DEEP; }
    int64_t size() const { return (int64_t)deep() * P * 2 * TILE; }  // numbers of a block of rows or columns
    void take(int block, int rows) const {
        left<P>(rows, k, x + (int64_t)block * BLOCK * x_row, x_row, pieces + block * size());
    }
    void pack(int column, int columns, Number* to) const { right<P>(columns, k, w + column * w_row, w_row, w_col, to); }
    Ahead ahead(int column, int columns) const { return {w + column * w_row, w_row, w_col, columns, k}; }
    ALWAYS void before(int, int, const Block&) const {}
    ALWAYS void sums(int block, const Number* right) const {
        const Number* a = pieces + block * size();
        for (int d = 0; d < deep(); d++) add<P>(a + d * P * 2 * TILE, right + d * P * 2 * TILE);
    }
    ALWAYS void after(int, int, const Block&, float*) const {}
};

// int8: unsigned codes of x, the weight's as they are packed
struct Codes {
    int k;
    const uint8_t* x;  // (rows, k): codes and 128
    const float* scales;
    const int8_t* packed;  // (n / 16, k / 4, 16, 4)
    const float* columns;  // (n): the weight's scales,
    const int32_t* less;   // and 128 times the sums of its codes
    int rest;              // the block that is not whole, or -1,
    uint8_t* filled;       // and its codes with rows of zeros below

    int64_t size() const { return 0; }
    void take(int block, int rows) const {
        if (block != rest) return;
        std::memcpy(filled, x + (int64_t)block * BLOCK * k, (size_t)rows * k);
        std::memset(filled + rows * k, 0, (size_t)(BLOCK - rows) * k);
    }
    void pack(int, int, Number*) const {}
    Ahead ahead(int, int) const { return {}; }
    ALWAYS void before(int block, int column, const Block& place) const {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        const uint8_t* a = block == rest ? filled : x + (int64_t)block * BLOCK * k;
        const int8_t *b = packed + (int64_t)column * k, *c = place.columns == BLOCK ? b + SIDE * k : b;
        for (int d = 0; d < k; d += 64) {
            _tile_loadd(4, a + d, k);
            _tile_loadd(5, a + SIDE * k + d, k);
            _tile_loadd(6, b + d * SIDE, 64);
            _tile_loadd(7, c + d * SIDE, 64);
            _tile_dpbusd(0, 4, 6);
            _tile_dpbusd(1, 4, 7);
            _tile_dpbusd(2, 5, 6);
            _tile_dpbusd(3, 5, 7);
        }
        Block::into((float*)place.whole_numbers, BLOCK);
    }
    ALWAYS void sums(int, const Number*) const {}
    ALWAYS void after(int block, int column, const Block& place, float* to) const {
        for (int j = 0; j < place.columns; j += SIDE) {
            const __m512 scale = ::load(columns + column + j);
            const __m512i taken = _mm512_loadu_si512(less + column + j);
            for (int i = 0; i < place.rows; i++) {
                const __m512i sum = _mm512_load_si512(place.whole_numbers + i * BLOCK + j);
                const __m512 factor = scale * _mm512_set1_ps(scales[block * BLOCK + i]);
                float* here = to + (int64_t)i * place.n + j;
                _mm512_storeu_ps(here, ::load(here) + _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, taken)) * factor);
            }
        }
    }
};

// to (rows, n) = [start +] what `way` multiplies + the low-rank part. Each thread takes some of the columns.
template <class Way>
void product_of(int64_t rows, int n, const Way& way, const LowRank& low, float* to, const float* start) {
    static thread_local Room room_left;
    const int deeper = low.R * PRODUCTS / DEEP, blocks = (int)((rows + BLOCK - 1) / BLOCK), columns = (n + BLOCK - 1) / BLOCK;
    const int64_t low_size = (int64_t)deeper * 2 * TILE, size = way.size() + low_size;
    Number* lows = room_left.of<Number>(low_size * blocks);
#pragma omp parallel
    {
        static thread_local Room room;
        alignas(64) float small[BLOCK * BLOCK];
        alignas(64) int32_t whole_numbers[BLOCK * BLOCK];
#pragma omp for schedule(static)
        for (int block = 0; block < blocks; block++) {
            const int64_t from = (int64_t)block * BLOCK;
            const int some = (int)std::min<int64_t>(BLOCK, rows - from);
            way.take(block, some);
            left_low(some, low.R, low.low + from * low.row, low.row, lows + block * low_size);
        }
        const Tiles tiles;
        const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
        const int first = (int)((int64_t)columns * thread / threads), last = (int)((int64_t)columns * (thread + 1) / threads);
        const int most = (int)std::max<int64_t>(1, KEPT / (std::max<int64_t>(size, 1) * (int64_t)sizeof(Number)));
        const int panels = (last - first + most - 1) / most;
        Number* packed = room.of<Number>(size * most);
        for (int panel = 0; panel < panels; panel++) {
            const int begin = first + (last - first) * panel / panels, end = first + (last - first) * (panel + 1) / panels;
            for (int c = begin; c < end; c++) {
                const int column = c * BLOCK, some = std::min(BLOCK, n - column);
                Number* here = packed + (c - begin) * size;
                way.pack(column, some, here);
                right_low(some, low.R, low.b + column * low.b_col, low.b_row, low.b_col, low.scale, here + way.size());
            }
            const int after = first + (last - first) * std::min(panels, panel + 2) / panels;  // where the next panel ends
            Ahead next = way.ahead(end * BLOCK, std::min(n, after * BLOCK) - std::min(n, end * BLOCK));
            for (int block = 0; block < blocks; block++) {
                const int some = (int)std::min<int64_t>(BLOCK, rows - (int64_t)block * BLOCK);
                next.fetch(blocks);
                for (int c = begin; c < end; c++) {
                    const int column = c * BLOCK;
                    const Block place{some, std::min(BLOCK, n - column), n, small, whole_numbers};
                    const int64_t at = (int64_t)block * BLOCK * n + column;
                    const Number *right = packed + (c - begin) * size, *a = lows + block * low_size, *b = right + way.size();
                    way.before(block, column, place);
                    place.load(start ? start + at : nullptr);
                    way.sums(block, right);
                    for (int d = 0; d < deeper; d++) add<1>(a + d * 2 * TILE, b + d * 2 * TILE);
                    place.store(to + at);
                    way.after(block, column, place, to + at);
                }
            }
        }
    }
}

// As many rows and as much of k at once as their pieces stay in the caches.
template <int P>
bool product_by(int64_t rows, int n, const Pieces<P>& whole, const LowRank& beside, float* to, const float* start) {
    const int k = whole.k;
    if (n % SIDE || k % SIDE || beside.R % SIDE || (whole.w_row != 1 && whole.w_col != 1) || !ready()) return false;
    static thread_local Room room;
    const int times = (k * P + DEEPEST - 1) / DEEPEST, most = ((k + times - 1) / times + DEEP - 1) / DEEP * DEEP;
    const int64_t blocks = (rows + BLOCK - 1) / BLOCK, size = (int64_t)most * BLOCK * P;
    const int64_t parts = (blocks * size * (int64_t)sizeof(Number) + TAKEN - 1) / TAKEN;
    Number* pieces = room.of<Number>(size * ((blocks + parts - 1) / parts));
    for (int64_t part = 0; part < parts; part++) {
        const int64_t from = blocks * part / parts * BLOCK, stop = std::min(rows, blocks * (part + 1) / parts * BLOCK);
        for (int c = 0; c < k; c += most) {
            const float *x = whole.x + from * whole.x_row + c, *w = whole.w + c * whole.w_col;
            const Pieces<P> way = {std::min(most, k - c), x, whole.x_row, w, whole.w_row, whole.w_col, pieces};
            LowRank low = beside;
            low.low += from * low.row;
            if (c) low.R = 0;
            const float* begin = c ? to : start;
            product_of(stop - from, n, way, low, to + from * n, begin ? begin + from * n : nullptr);
        }
    }
    return true;
}

}  // namespace

bool tiles_product(int64_t rows, int n, int k, const float* x, int64_t x_row, const float* w, int64_t w_row, int64_t w_col,
                   const LowRank& low, float* to, const float* start) {
    return product_by(rows, n, Pieces<3>{k, x, x_row, w, w_row, w_col, nullptr}, low, to, start);
}

bool tiles_codes(int64_t rows, int n, int k, const uint8_t* x, const float* scales, const int8_t* packed, const float* columns,
                 const int32_t* less, const LowRank& low, float* to, const float* start) {
    if (n % SIDE || k % 64 || low.R % SIDE || !ready()) return false;
    static thread_local Room room;
    const int rest = rows % BLOCK ? (int)(rows / BLOCK) : -1;
    const Codes way = {k, x, scales, packed, columns, less, rest, rest < 0 ? nullptr : room.of<uint8_t>((size_t)BLOCK * k)};
    product_of(rows, n, way, low, to, start);
    return true;
}

EXPORT int tiles_ready() { return ready(); }

// As wide_product, of numbers rounded to bfloat16; k and n are multiples of 16, a stride of w is 1.
EXPORT void tiles_bfloat16(int64_t rows, int n, int k, const float* x, const float* w, int64_t w_row, int64_t w_col, int R,
                           const float* low, int64_t low_row, const float* b, int64_t b_row, int64_t b_col, double scale,
                           float* to, const float* start) {
    const LowRank beside = {R, low, low_row, b, b_row, b_col, (float)scale};
    product_by(rows, n, Pieces<1>{k, x, k, w, w_row, w_col, nullptr}, beside, to, start);
}
#else
bool tiles_product(int64_t, int, int, const float*, int64_t, const float*, int64_t, int64_t, const LowRank&, float*,
                   const float*) {
    return false;
}
bool tiles_codes(int64_t, int, int, const uint8_t*, const float*, const int8_t*, const float*, const int32_t*, const LowRank&,
                 float*, const float*) {
    return false;
}
EXPORT int tiles_ready() { return 0; }
#endif
