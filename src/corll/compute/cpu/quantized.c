/* Products of few rows with int8 weights, for drafting on processors with VNNI: x Wᵀ + added + bias.
 *
 * Both sides are rounded to eight bits in groups of 64 neighbours along the sum, each group with a
 * scale of its own, and summed in int32 within a group, in float32 beyond. One instruction multiplies
 * unsigned bytes by signed ones, so a weight is kept with 128 added; what that adds is the same for all
 * outputs, and the sum of each group starts from its negative.
 *
 * Weights lie in the order in which they are read: for each 16 outputs, for each group, 16 fours of
 * inputs × 16 outputs × 4 inputs. Their scales, in bf16, for each 16 outputs, for each group, 16 outputs.
 */

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)

#include <immintrin.h>

#include "bf16.h"

enum { GROUP = 64, FOURS = GROUP / 4, BLOCK = LANES * GROUP };

int quantized_allowed(void) { return 1; }

static inline __m512 load(const void *values, size at, size is_float) {
    return is_float ? _mm512_loadu_ps((const float *)values + at)
                    : (__m512)wide_vector((const bf16 *)values + at);
}

static inline void store(__m512 values, void *to, size at, size is_float) {
    if (is_float)
        _mm512_storeu_ps((float *)to + at, values);
    else
        narrow_vector((vector)values, (bf16 *)to + at);
}

/* Rounds `rows` × `width` values; for each group its scale, and what its sums start from. */
static void quantize(const void *x, size is_float, int8_t *quantized, float *scales, int32_t *starts,
                     size rows, size width) {
    for (size g = 0; g < rows * width / GROUP; g++) {
        __m512 values[GROUP / LANES], most = _mm512_setzero_ps();
        for (size v = 0; v < GROUP / LANES; v++) {
            values[v] = load(x, g * GROUP + v * LANES, is_float);
            most = _mm512_max_ps(most, _mm512_abs_ps(values[v]));
        }
        float scale = _mm512_reduce_max_ps(most) / 127.0f;
        __m512 inverse = _mm512_set1_ps(scale > 0 ? 1.0f / scale : 0.0f);
        __m512i sum = _mm512_setzero_si512();
        for (size v = 0; v < GROUP / LANES; v++) {
            __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(values[v], inverse));
            sum = _mm512_add_epi32(sum, rounded);
            _mm_storeu_si128((__m128i *)(quantized + g * GROUP + v * LANES),
                             _mm512_cvtsepi32_epi8(rounded));
        }
        scales[g] = scale;
        starts[g] = -128 * _mm512_reduce_add_epi32(sum);
    }
}

/* What a product reads and writes; `added` and `bias` may be null. */
struct product {
    const int8_t *x;
    const float *x_scales;
    const int32_t *starts;
    const uint8_t *weights;
    const bf16 *scales;
    const void *added, *bias;
    void *out;
    size width, columns, is_float;
};

/* R rows from `row` on, P times 16 outputs from the block `first` on. */
static inline __attribute__((always_inline)) void some_products(const struct product *p, size row,
                                                                size first, const int R, const int P) {
    size groups = p->width / GROUP;
    __m512 total[R][P];
    for (int r = 0; r < R; r++)
        for (int b = 0; b < P; b++) total[r][b] = _mm512_setzero_ps();
    for (size g = 0; g < groups; g++) {
        __m512i sum[R][P];
        for (int r = 0; r < R; r++)
            for (int b = 0; b < P; b++) sum[r][b] = _mm512_set1_epi32(p->starts[(row + r) * groups + g]);
        for (size four = 0; four < FOURS; four++) {
            __m512i weights[P];
            for (int b = 0; b < P; b++)
                weights[b] = _mm512_loadu_si512(p->weights + ((first + b) * groups + g) * BLOCK + four * 64);
            for (int r = 0; r < R; r++) {
                int32_t inputs;
                memcpy(&inputs, p->x + (row + r) * p->width + g * GROUP + four * 4, 4);
                __m512i all = _mm512_set1_epi32(inputs);
                for (int b = 0; b < P; b++) sum[r][b] = _mm512_dpbusd_epi32(sum[r][b], weights[b], all);
            }
        }
        for (int b = 0; b < P; b++) {
            __m512 scale = load(p->scales, ((first + b) * groups + g) * LANES, 0);
            for (int r = 0; r < R; r++) {
                __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(p->x_scales[(row + r) * groups + g]));
                total[r][b] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r][b]), both, total[r][b]);
            }
        }
    }
    for (int r = 0; r < R; r++)
        for (int b = 0; b < P; b++) {
            size column = (first + b) * LANES, at = (row + r) * p->columns + column;
            __m512 value = total[r][b];
            if (p->bias) value = _mm512_add_ps(value, load(p->bias, column, p->is_float));
            if (p->added) value = _mm512_add_ps(value, load(p->added, at, p->is_float));
            store(value, p->out, at, p->is_float);
        }
}

/* out = x Wᵀ + added + bias. x, added, out: rows × width or columns, in float32 or bf16; `quantized`,
 * `x_scales` and `starts` hold what x is rounded to. The width is a multiple of GROUP, columns of LANES. */
void quantized_product(const void *x, const uint8_t *weights, const bf16 *scales, const void *added,
                       const void *bias, void *out, int8_t *quantized, float *x_scales, int32_t *starts,
                       size rows, size width, size columns, size is_float, int threads) {
    enum { ROWS = 4, FEW_BLOCKS = 2, BLOCKS = 4 };
    quantize(x, is_float, quantized, x_scales, starts, rows, width);
    struct product p = {quantized, x_scales, starts, weights, scales,  added,
                        bias,      out,      width,  columns, is_float};
    size blocks = columns / LANES;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size first = 0; first < blocks; first += BLOCKS) {
        size stop = first + BLOCKS < blocks ? first + BLOCKS : blocks, row = 0;
        for (; row + ROWS <= rows; row += ROWS) {
            size b = first;
            for (; b + FEW_BLOCKS <= stop; b += FEW_BLOCKS) some_products(&p, row, b, ROWS, FEW_BLOCKS);
            for (; b < stop; b++) some_products(&p, row, b, ROWS, 1);
        }
        for (; row < rows; row++)
            if (stop - first == BLOCKS) some_products(&p, row, first, 1, BLOCKS);
            else
                for (size b = first; b < stop; b++) some_products(&p, row, b, 1, 1);
    }
}

#else

int quantized_allowed(void) { return 0; }

#endif
