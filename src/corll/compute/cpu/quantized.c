/* Products with int8 weights, for drafting: x Wᵀ + added + bias.
 *
 * Both sides are rounded to eight bits in groups of 64 neighbours along the sum, each group with a
 * scale of its own, and summed in int32 within a group, in float32 beyond. A processor with VNNI
 * multiplies unsigned bytes by signed ones in one instruction, so a weight is kept with 128 added;
 * what that adds is the same for all outputs, and the sum of each group starts from its negative.
 * Without VNNI (AVX2) a few instructions do it, by which the signs of x move to the weights.
 *
 * Weights lie in the order in which they are read: for each WIDTH outputs, for each group, 16 fours of
 * inputs × WIDTH outputs × 4 inputs; their scales, in bf16, for each WIDTH outputs, for each group, WIDTH
 * outputs. What x is rounded to lies by groups, in each by rows.
 */

#include <stdint.h>

#ifdef __AVX2__

#include "bf16.h"
#include <immintrin.h>
#include <math.h>

/* Outputs of a vector, what is added to weights, and how many rows' sums the registers hold. */
#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
enum { WIDTH = 16, OFFSET = 128, FEW_ROWS = 4, ROWS = 6, FOR_MANY = 4 };
#elif defined(__AVXVNNI__)
enum { WIDTH = 8, OFFSET = 128, FEW_ROWS = 2, ROWS = 4, FOR_MANY = 2 };
#else
enum { WIDTH = 8, OFFSET = 0, FEW_ROWS = 2, ROWS = 4, FOR_MANY = 2 };
#endif

/* Vectors of outputs that are read at a time, for one row and for several; rows whose sums the first
 * cache holds. */
enum { FOR_ONE = 4, FOR_SEVERAL = 2, MOST_SUMS = ROWS * FOR_MANY, MOST_ROWS = 96 };
/* Values from which on a second thread is worth its start. */
enum { MANY = 65536 };
enum { GROUP = 64, FOURS = GROUP / 4, BLOCK = WIDTH * GROUP };

typedef float floats __attribute__((vector_size(4 * WIDTH)));
typedef int32_t ints __attribute__((vector_size(4 * WIDTH)));
typedef uint32_t bits __attribute__((vector_size(4 * WIDTH)));
typedef bf16 halves __attribute__((vector_size(2 * WIDTH)));

#define INLINE static inline __attribute__((always_inline))

int quantized_allowed(void) { return 1; }

INLINE floats load(const void *values, size at, size is_float) {
    floats found;
    halves half;
    if (is_float) {
        memcpy(&found, (const float *)values + at, sizeof found);
        return found;
    }
    memcpy(&half, (const bf16 *)values + at, sizeof half);
    return (floats)(__builtin_convertvector(half, bits) << 16);
}

INLINE void store(floats values, void *to, size at, size is_float) {
    if (is_float) {
        memcpy((float *)to + at, &values, sizeof values);
        return;
    }
    bits all = (bits)values;
    halves half = __builtin_convertvector((all + 0x7fff + ((all >> 16) & 1)) >> 16, halves);
    memcpy((bf16 *)to + at, &half, sizeof half);
}

/* Adds to each output's sum four inputs times its weights for them. */
INLINE ints add_four(ints sum, const uint8_t *weights, const int8_t *x) {
    int32_t four;
    memcpy(&four, x, 4);
#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
    return (ints)_mm512_dpbusd_epi32((__m512i)sum, _mm512_loadu_si512(weights), _mm512_set1_epi32(four));
#else
    __m256i inputs = _mm256_set1_epi32(four);
    __m256i read = _mm256_loadu_si256((const __m256i *)weights);
#if defined(__AVXVNNI__)
    return (ints)_mm256_dpbusd_avx_epi32((__m256i)sum, read, inputs);
#else
    /* Two products of seven bits and a sign each fit into sixteen bits. */
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(inputs), _mm256_sign_epi8(read, inputs));
    return sum + (ints)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#endif
#endif
}

/* 64 values in float32, and the largest of their magnitudes. */
INLINE float read_group(const void *from, size at, size is_float, float *values) {
    float most = 0;
    if (is_float) memcpy(values, (const float *)from + at, GROUP * sizeof *values);
    else
        for (size k = 0; k < GROUP; k++) values[k] = wide(((const bf16 *)from)[at + k]);
#pragma omp simd reduction(max : most)
    for (size k = 0; k < GROUP; k++) {
        float magnitude = fabsf(values[k]);
        most = magnitude > most ? magnitude : most;
    }
    return most;
}

/* The multiples of a scale that 64 values are nearest to. */
INLINE void round_group(const float *values, float scale, int8_t *to) {
    float inverse = scale > 0 ? 1.0f / scale : 0.0f;
    for (size k = 0; k < GROUP; k++) {
        float rounded = rintf(values[k] * inverse);
        rounded = rounded > 127.0f ? 127.0f : rounded;
        to[k] = (int8_t)(rounded < -127.0f ? -127.0f : rounded);
    }
}

/* Lays out a weight of columns × width and its scales; a multiple of 16 and one of GROUP. */
void quantize_weight(const void *weight, uint8_t *quantized, bf16 *scales, size columns, size width,
                     size is_float, int threads) {
    size groups = width / GROUP;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size block = 0; block < columns / WIDTH; block++)
        for (size g = 0; g < groups; g++) {
            size at = block * groups + g;
            for (size lane = 0; lane < WIDTH; lane++) {
                float values[GROUP];
                int8_t rounded[GROUP];
                size from = (block * WIDTH + lane) * width + g * GROUP;
                bf16 scale = narrow(read_group(weight, from, is_float, values) / 127.0f);
                scales[at * WIDTH + lane] = scale;
                round_group(values, wide(scale), rounded);
                for (size k = 0; k < GROUP; k++) rounded[k] = (int8_t)(rounded[k] + OFFSET);
                for (size four = 0; four < FOURS; four++)
                    memcpy(quantized + at * BLOCK + (four * WIDTH + lane) * 4, rounded + four * 4, 4);
            }
        }
}

/* What a product reads and writes; `added` and `bias` may be null. */
struct product {
    int8_t *x;
    float *x_scales;
    int32_t *starts;
    const uint8_t *weights;
    const bf16 *scales;
    const void *added, *bias;
    void *out;
    size rows, width, columns, is_float;
};

/* Rounds x to eight bits; for each row and group its scale, and what its sums start from. */
static void round_rows(const struct product *p, const void *x, int threads) {
    size groups = p->width / GROUP;
#pragma omp parallel for num_threads(threads) schedule(static) if (p->rows * p->width > MANY)
    for (size row = 0; row < p->rows; row++)
        for (size g = 0; g < groups; g++) {
            float values[GROUP];
            size at = g * p->rows + row;
            int8_t *rounded = p->x + at * GROUP;
            float scale = read_group(x, row * p->width + g * GROUP, p->is_float, values) / 127.0f;
            round_group(values, scale, rounded);
            int32_t sum = 0;
            for (size k = 0; k < GROUP; k++) sum += rounded[k];
            p->x_scales[at] = scale;
            p->starts[at] = -OFFSET * sum;
        }
}

/* Adds a group's share to the sums of R rows from `row` on, of V vectors of outputs from `first` on. */
INLINE void add_group(const struct product *p, size g, size row, size first, floats *totals, const int R,
                      const int V) {
    size groups = p->width / GROUP, at = g * p->rows + row;
    ints sums[MOST_SUMS];
#pragma GCC unroll 32
    for (int k = 0; k < R * V; k++) sums[k] = (ints){0} + p->starts[at + k / V];
    for (size four = 0; four < FOURS; four++)
#pragma GCC unroll 16
        for (int r = 0; r < R; r++)
#pragma GCC unroll 4
            for (int v = 0; v < V; v++) {
                const uint8_t *weights = p->weights + ((first + v) * groups + g) * BLOCK;
                sums[r * V + v] = add_four(sums[r * V + v], weights + four * 4 * WIDTH,
                                           p->x + (at + r) * GROUP + four * 4);
            }
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) {
        floats scale = load(p->scales, ((first + v) * groups + g) * WIDTH, 0);
#pragma GCC unroll 16
        for (int r = 0; r < R; r++)
            totals[r * V + v] += __builtin_convertvector(sums[r * V + v], floats) * (scale * p->x_scales[at + r]);
    }
}

INLINE void finish(const struct product *p, size row, size first, const floats *totals, const int R,
                   const int V) {
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++) {
            size column = (first + v) * WIDTH, at = (row + r) * p->columns + column;
            floats value = totals[r * V + v];
            if (p->bias) value += load(p->bias, column, p->is_float);
            if (p->added) value += load(p->added, at, p->is_float);
            store(value, p->out, at, p->is_float);
        }
}

/* A few rows, whose sums stay in registers. */
INLINE void few_rows(const struct product *p, size row, size first, const int R, const int V) {
    floats totals[MOST_SUMS];
#pragma GCC unroll 16
    for (int k = 0; k < R * V; k++) totals[k] = (floats){0};
    for (size g = 0; g < p->width / GROUP; g++) add_group(p, g, row, first, totals, R, V);
    finish(p, row, first, totals, R, V);
}

/* Many rows: each weight is read once for MOST_ROWS of them. */
INLINE void many_rows(const struct product *p, size first, const int V) {
    floats totals[MOST_ROWS * V];
    for (size start = 0; start < p->rows; start += MOST_ROWS) {
        size count = p->rows - start < MOST_ROWS ? p->rows - start : MOST_ROWS;
        memset(totals, 0, sizeof *totals * count * V);
        for (size g = 0; g < p->width / GROUP; g++) {
            size r = 0;
            for (; r + ROWS <= count; r += ROWS) add_group(p, g, start + r, first, totals + r * V, ROWS, V);
            for (; r < count; r++) add_group(p, g, start + r, first, totals + r * V, 1, V);
        }
        finish(p, start, first, totals, count, V);
    }
}

/* out = x Wᵀ + added + bias. x, added, out: rows × width or columns, in float32 or bf16; `quantized`,
 * `x_scales` and `starts` hold what x is rounded to. The width is a multiple of GROUP, columns of 16. */
void quantized_product(const void *x, const uint8_t *weights, const bf16 *scales, const void *added,
                       const void *bias, void *out, int8_t *quantized, float *x_scales, int32_t *starts,
                       size rows, size width, size columns, size is_float, int threads) {
    struct product p = {quantized, x_scales, starts, weights, scales, added,
                        bias,      out,      rows,   width,   columns, is_float};
    round_rows(&p, x, threads);
    size blocks = columns / WIDTH;
    size step = rows == 1 ? FOR_ONE : rows < ROWS ? FOR_SEVERAL : FOR_MANY;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size first = 0; first < blocks; first += step) {
        size stop = first + step < blocks ? first + step : blocks, row = 0;
        if (rows >= ROWS && stop - first == FOR_MANY) {
            many_rows(&p, first, FOR_MANY);
            continue;
        }
        if (stop - first == FOR_SEVERAL)
            for (; row + FEW_ROWS <= rows; row += FEW_ROWS) few_rows(&p, row, first, FEW_ROWS, FOR_SEVERAL);
        for (; row < rows; row++)
            if (stop - first == FOR_ONE) few_rows(&p, row, first, 1, FOR_ONE);
            else
                for (size block = first; block < stop; block++) few_rows(&p, row, block, 1, 1);
    }
}

#else

int quantized_allowed(void) { return 0; }

#endif
