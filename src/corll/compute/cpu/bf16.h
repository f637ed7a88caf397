/* bf16 values one by one and sixteen at a time: widened to float32, and rounded from it. */

#pragma once

#include <stdint.h>
#include <string.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

typedef uint16_t bf16;
typedef int64_t size;

/* Values that a vector holds. */
enum { LANES = 16 };

static inline float wide(bf16 x) {
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

/* To the nearest, ties to even; NaN stays NaN. */
static inline bf16 narrow(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return (bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : (bf16)rounded;
}

typedef float vector __attribute__((vector_size(4 * LANES)));
typedef uint32_t vector_bits __attribute__((vector_size(4 * LANES)));
typedef bf16 half_vector __attribute__((vector_size(2 * LANES)));

static inline vector wide_vector(const bf16 *from) {
#ifdef __AVX512F__
    /* Compilers convert the two halves one after the other. */
    __m256i halves = _mm256_loadu_si256((const __m256i *)from);
    return (vector)_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
#else
    half_vector halves;
    memcpy(&halves, from, sizeof halves);
    return (vector)(__builtin_convertvector(halves, vector_bits) << 16);
#endif
}

static inline void narrow_vector(vector values, bf16 *to) {
#ifdef __AVX512BF16__
    __m256bh rounded = _mm512_cvtneps_pbh((__m512)values);
    memcpy(to, &rounded, sizeof rounded);
#else
    for (size lane = 0; lane < LANES; lane++) to[lane] = narrow(values[lane]);
#endif
}
