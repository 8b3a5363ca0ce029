// AVX-512: 32 registers of 64 bytes.
#pragma once
#include <immintrin.h>

#define VECTOR_BYTES 64
constexpr int MAX_ACCUMULATORS = 24, MAX_TILE_VECTORS = 4;

namespace {

// Transposes a 16 x 16 block of floats: exchanges single numbers, then pairs, fours and eights.
template <int... I>
ALWAYS_INLINE void transpose_block(std::integer_sequence<int, I...>, const float* from, int64_t row, float* to, int64_t to_row) {
    const auto as_double = [](__m512 v) { return _mm512_castps_pd(v); };
    __m512 a[16] = {_mm512_loadu_ps(from + I * row)...}, b[16];
    ((b[I] = I & 1 ? _mm512_unpackhi_ps(a[I & ~1], a[I | 1]) : _mm512_unpacklo_ps(a[I], a[I | 1])), ...);
    ((a[I] = _mm512_castpd_ps(
          I & 1 ? _mm512_unpackhi_pd(as_double(b[(I & ~3) | (I >> 1 & 1)]), as_double(b[(I & ~3) | 2 | (I >> 1 & 1)]))
                : _mm512_unpacklo_pd(as_double(b[(I & ~3) | (I >> 1 & 1)]), as_double(b[(I & ~3) | 2 | (I >> 1 & 1)])))),
     ...);
    ((b[I] = _mm512_shuffle_f32x4(a[(I & 3) | (I & 4) << 1], a[(I & 3) | 4 | (I & 4) << 1], I & 8 ? 0xdd : 0x88)), ...);
    (_mm512_storeu_ps(to + ((I & 8) / 2 + (I & 4) * 2 + (I & 3)) * to_row,
                      _mm512_shuffle_f32x4(b[(I & 3) | (I & 8)], b[(I & 3) | 4 | (I & 8)], I & 4 ? 0xdd : 0x88)),
     ...);
}

#ifdef __AVX512VNNI__
#define HAS_INT8_DOT
// Adds to each int32 of `sum` four products of an unsigned and a signed byte. Assembly, because GCC 12 copies the sum at
// each call of the intrinsic.
template <class V>
ALWAYS_INLINE void dot_u8s8(V& sum, V unsigned_bytes, V signed_bytes) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(unsigned_bytes), "v"(signed_bytes));
}
#endif

}  // namespace
