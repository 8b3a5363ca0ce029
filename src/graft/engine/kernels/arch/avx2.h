// AVX2 with FMA: 16 registers of 32 bytes.
#pragma once
#include <immintrin.h>

#define VECTOR_BYTES 32
constexpr int MAX_ACCUMULATORS = 12, MAX_TILE_VECTORS = 3;

namespace {

// Transposes an 8 x 8 block of floats: exchanges single numbers, then pairs and fours.
template <int... I>
ALWAYS_INLINE void transpose_block(std::integer_sequence<int, I...>, const float* from, int64_t row, float* to, int64_t to_row) {
    __m256 a[8] = {_mm256_loadu_ps(from + I * row)...}, b[8];
    ((b[I] = I & 1 ? _mm256_unpackhi_ps(a[I & ~1], a[I | 1]) : _mm256_unpacklo_ps(a[I & ~1], a[I | 1])), ...);
    ((a[I] = _mm256_shuffle_ps(b[(I & ~3) | (I >> 1 & 1)], b[(I & ~3) | 2 | (I >> 1 & 1)], I & 1 ? 0xee : 0x44)), ...);
    (_mm256_storeu_ps(to + I * to_row, _mm256_permute2f128_ps(a[I & 3], a[(I & 3) | 4], I & 4 ? 0x31 : 0x20)), ...);
}

#ifdef __AVXVNNI__
#define HAS_INT8_DOT
// Adds to each int32 of `sum` four products of an unsigned and a signed byte. Assembly, because GCC 12 copies the sum at
// each call of the intrinsic.
template <class V>
ALWAYS_INLINE void dot_u8s8(V& sum, V unsigned_bytes, V signed_bytes) {
    asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(unsigned_bytes), "x"(signed_bytes));
}
#endif

}  // namespace
