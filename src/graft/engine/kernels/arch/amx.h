// AMX: matrix tiles of 16 rows of 64 bytes. Four tiles of sums (0 to 3) make a block of 32 x 32; tiles 4 and 5 are its left
// factor, 6 and 7 its right one.
#pragma once
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

constexpr int TILE_ROWS = 16, TILE_DEPTH = 32;     // rows of a tile; bfloat16 numbers in one
constexpr int TILE_SIZE = TILE_ROWS * TILE_DEPTH;  // numbers
constexpr int BLOCK = 2 * TILE_ROWS;               // rows and columns of a block

typedef uint16_t Bfloat16;

// Linux grants the tile registers to processes that ask for them.
bool request_amx() {
    constexpr long ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18;
    static const bool granted = syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
    return granted;
}

struct alignas(64) TileShape {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// The calling thread's tiles are configured while this exists.
struct TileConfig {
    TileConfig() {
        static const TileShape shape;
        _tile_loadconfig(&shape);
    }
    ~TileConfig() { _tile_release(); }
};

ALWAYS_INLINE __m512i as_integers(__m512bh v) { return (__m512i)v; }
ALWAYS_INLINE __m512 load_vector(const float* from) { return _mm512_loadu_ps(from); }

// Two vectors as P bfloat16 pieces each, side by side: each(p, piece). What a piece rounds off goes into the next one.
template <int P, class Each>
ALWAYS_INLINE void split(__m512 a, __m512 b, Each each) {
    for (int p = 0; p < P; p++) {
        const __m512i piece = as_integers(_mm512_cvtne2ps_pbh(b, a));
        each(p, piece);
        if (p + 1 == P) return;
        a -= _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(piece)), 16));
        b -= _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(piece, 1)), 16));
    }
}

// Interleaves the halves of a vector.
ALWAYS_INLINE __m512i interleave_halves(__m512i piece) {
    return _mm512_permutexvar_epi16(_mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                                     21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0),
                                    piece);
}

ALWAYS_INLINE void zero_sums() {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}
ALWAYS_INLINE void load_sums(const float* from, int64_t row) {
    _tile_loadd(0, from, row * 4);
    _tile_loadd(1, from + TILE_ROWS, row * 4);
    _tile_loadd(2, from + TILE_ROWS * row, row * 4);
    _tile_loadd(3, from + TILE_ROWS * row + TILE_ROWS, row * 4);
}
ALWAYS_INLINE void store_sums(float* to, int64_t row) {
    _tile_stored(0, to, row * 4);
    _tile_stored(1, to + TILE_ROWS, row * 4);
    _tile_stored(2, to + TILE_ROWS * row, row * 4);
    _tile_stored(3, to + TILE_ROWS * row + TILE_ROWS, row * 4);
}
ALWAYS_INLINE void load_left(const Bfloat16* a) {
    _tile_loadd(4, a, 64);
    _tile_loadd(5, a + TILE_SIZE, 64);
}
ALWAYS_INLINE void load_right(const Bfloat16* b) {
    _tile_loadd(6, b, 64);
    _tile_loadd(7, b + TILE_SIZE, 64);
}
ALWAYS_INLINE void dot_bf16() {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
}
ALWAYS_INLINE void dot_u8s8_tiles() {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
}

// Adds the product of P pieces of two factors. For float32 (P = 3) these are six products of pieces, in an order in which one
// factor stays in its tiles: 22, 21, 31, 11, 12, 13.
template <int P>
ALWAYS_INLINE void add_product(const Bfloat16* a, const Bfloat16* b) {
    if constexpr (P == 3) {
        load_left(a + 2 * TILE_SIZE), load_right(b + 2 * TILE_SIZE), dot_bf16();
        load_right(b), dot_bf16();
        load_left(a + 4 * TILE_SIZE), dot_bf16();
        load_left(a), dot_bf16();
        load_right(b + 2 * TILE_SIZE), dot_bf16();
        load_right(b + 4 * TILE_SIZE), dot_bf16();
    } else {
        load_left(a), load_right(b), dot_bf16();
    }
}

}  // namespace
