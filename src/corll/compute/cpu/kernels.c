/* Passes over bf16 activations on a CPU: each reads its input once, computes in float32 and rounds
 * once, where the same in torch's operations is several passes with a rounding in each.
 *
 * What each buys against the quickest of torch's operations, torch.compile and oneDNN, on two cores of
 * a Zen 5 at the sizes of SmolLM2-135M (`benchmarks/passes.py`; with one thread in benchmarks/LOG.md):
 *
 *   rms_norm            1.7x in a step, 2.3 to 3.1x in drafting; its gradient 1.7x
 *   swiglu              1.7x in a step, 1.5 to 1.9x in drafting; its gradient 1.8x
 *   lay_out_heads       1.4x; its gradient 2.8x
 *   masked_softmax      1.9x
 *   attend_token        6.9 to 8.3x
 *   add_low_rank        1.7 to 3.1x
 *   log_normalizers     1.7x
 *   minus_probabilities 1.6x
 *   likeliest           3.8 to 4.4x
 *
 * All together make a step 1.16 times as quick as torch's operations do, a draft 1.62 times.
 *
 * Matrices are row-major and contiguous. A position in a flat batch belongs to the block that
 * `starts` and `stops` give; blocks are in order and leave no gap.
 */

#include <math.h>

#include "bf16.h"

/* Values that are rounded, or looked through, in one go. */
enum { BLOCK = 64 };
static inline size whole_vectors(size count) { return (count + LANES - 1) / LANES * LANES; }

/* Below this many values a second thread costs more than it saves. */
#define FEW 16384
#define PRAGMA(text) _Pragma(#text)
#define PARALLEL(n) PRAGMA(omp parallel for num_threads(threads) schedule(static) if ((n) > FEW))

/* For a `count` of whole vectors. */
static inline void narrow_vectors(const float *from, bf16 *to, size count) {
    for (size k = 0; k < count; k += LANES) {
        vector values;
        memcpy(&values, from + k, sizeof values);
        narrow_vector(values, to + k);
    }
}

/* to[d] = value, an expression in d, for each d below `count`. */
#define ROUND_EACH(to, count, d, value)                                         \
    for (size start = 0; start < (count); start += BLOCK) {                      \
        float block[BLOCK];                                                      \
        if (start + BLOCK <= (count)) {                                          \
            for (size k = 0, d = start; k < BLOCK; k++, d++) block[k] = (value); \
            narrow_vectors(block, (to) + start, BLOCK);                          \
        } else                                                                   \
            for (size d = start; d < (count); d++) (to)[d] = narrow(value);      \
    }

/* e^x to about 1e-7 of itself, for x from -87 to 88. Cephes' polynomial. */
static inline float exponential_within(float within) {
    float shifted = within * 1.44269504f + 12582912.0f;
    float n = shifted - 12582912.0f;
    float r = within - n * 0.693359375f + n * 2.12194440e-4f;
    float y = 1.9875691500e-4f;
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * r * r + r + 1.0f;
    uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &bits, 4);
    return y * power;
}

/* The same for all x ≤ 88; 0 below -87. */
static inline float exponential(float x) {
    float power = exponential_within(x < -87.0f ? -87.0f : x);
    return x < -87.0f ? 0.0f : power;
}

/* 1 + e^-x, as far as a gate needs it: the same for all x beyond 87. */
static inline float gate_divisor(float x) {
    float least = x < -87.0f ? -87.0f : x;
    return 1.0f + exponential_within(-(least > 87.0f ? 87.0f : least));
}

static inline float inverse_rms(const bf16 *x, size width, float epsilon) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size d = 0; d < width; d++) sum += wide(x[d]) * wide(x[d]);
    return 1.0f / sqrtf(sum / (float)width + epsilon);
}

/* out = x / rms(x) * weight. x, out: rows × width. */
void rms_norm(const bf16 *x, const bf16 *weight, bf16 *out, size rows, size width, float epsilon,
              int threads) {
    PARALLEL(rows * width)
    for (size m = 0; m < rows; m++) {
        const bf16 *from = x + m * width;
        bf16 *to = out + m * width;
        float scale = inverse_rms(from, width, epsilon);
        ROUND_EACH(to, width, d, wide(from[d]) * scale * wide(weight[d]));
    }
}

/* The gradient of rms_norm by x. */
void rms_norm_backward(const bf16 *grad, const bf16 *x, const bf16 *weight, bf16 *grad_x, size rows,
                       size width, float epsilon, int threads) {
    PARALLEL(rows * width)
    for (size m = 0; m < rows; m++) {
        const bf16 *from = x + m * width, *g = grad + m * width;
        bf16 *to = grad_x + m * width;
        float squares = 0, along = 0;
#pragma omp simd reduction(+ : squares, along)
        for (size d = 0; d < width; d++) {
            float value = wide(from[d]);
            squares += value * value;
            along += wide(g[d]) * wide(weight[d]) * value;
        }
        float scale = 1.0f / sqrtf(squares / (float)width + epsilon);
        along *= scale * scale / (float)width;
        ROUND_EACH(to, width, d, scale * (wide(g[d]) * wide(weight[d]) - along * wide(from[d])));
    }
}

/* out = silu(gate) * up. gate_up: rows × 2 width, the gate first. */
void swiglu(const bf16 *gate_up, bf16 *out, size rows, size width, int threads) {
    PARALLEL(rows * width)
    for (size m = 0; m < rows; m++) {
        const bf16 *gate = gate_up + 2 * m * width, *up = gate + width;
        bf16 *to = out + m * width;
        ROUND_EACH(to, width, d, wide(gate[d]) / gate_divisor(wide(gate[d])) * wide(up[d]));
    }
}

/* The gradient of swiglu by gate_up. */
void swiglu_backward(const bf16 *grad, const bf16 *gate_up, bf16 *grad_gate_up, size rows,
                     size width, int threads) {
    PARALLEL(rows * width)
    for (size m = 0; m < rows; m++) {
        const bf16 *gate = gate_up + 2 * m * width, *up = gate + width, *g = grad + m * width;
        bf16 *to_gate = grad_gate_up + 2 * m * width, *to_up = to_gate + width;
        float open[width];
        for (size d = 0; d < width; d++) open[d] = 1.0f / gate_divisor(wide(gate[d]));
        ROUND_EACH(to_up, width, d, wide(g[d]) * wide(gate[d]) * open[d]);
        ROUND_EACH(to_gate, width, d,
                   wide(g[d]) * wide(up[d]) * open[d] * (1.0f + wide(gate[d]) * (1.0f - open[d])));
    }
}

static inline size block_of(const size *stops, size m) {
    size n = 0;
    while (m >= stops[n]) n++;
    return n;
}

static inline void turn(const bf16 *from, bf16 *to, const bf16 *cosine, const bf16 *sine, size half,
                        float direction, float factor) {
    for (size d = 0; d < half; d++) {
        float a = wide(from[d]), b = wide(from[d + half]);
        float c = wide(cosine[d]) * factor, s = wide(sine[d]) * factor * direction;
        to[d] = narrow(a * c - b * s);
        to[d + half] = narrow(b * c + a * s);
    }
}

/* Rotates queries and keys to their positions and lays all heads out for products by block.
 *
 * heads: tokens × (H + 2 G) × D, queries, keys, values; cosine, sine: tokens × D.
 * queries: for each of the query blocks H × its tokens × D, times `scaling`; keys, values: for each
 * row G × its tokens × D. With `back` the other way: gradients come in by block and row, and leave
 * as gradients of heads.
 */
void lay_out_heads(bf16 *heads, const bf16 *cosine, const bf16 *sine, bf16 *queries, bf16 *keys,
                   bf16 *values, size tokens, size H, size G, size D, const size *block_starts,
                   const size *block_stops, const size *row_starts, const size *row_stops,
                   float scaling, size back, int threads) {
    PARALLEL(tokens * (H + 2 * G) * D)
    for (size m = 0; m < tokens; m++) {
        size block = block_of(block_stops, m), row = block_of(row_stops, m);
        size first = block_starts[block], T = block_stops[block] - first;
        bf16 *own = heads + m * (H + 2 * G) * D;
        const bf16 *c = cosine + m * D, *s = sine + m * D;
        for (size h = 0; h < H; h++) {
            bf16 *there = queries + (first * H + h * T + m - first) * D;
            if (back) turn(there, own + h * D, c, s, D / 2, -1.0f, scaling);
            else turn(own + h * D, there, c, s, D / 2, 1.0f, scaling);
        }
        first = row_starts[row], T = row_stops[row] - first;
        for (size g = 0; g < G; g++) {
            size at = (first * G + g * T + m - first) * D;
            bf16 *key = own + (H + g) * D, *value = own + (H + G + g) * D;
            if (back) {
                turn(keys + at, key, c, s, D / 2, -1.0f, 1.0f);
                memcpy(value, values + at, D * sizeof(bf16));
            } else {
                turn(key, keys + at, c, s, D / 2, 1.0f, 1.0f);
                memcpy(values + at, value, D * sizeof(bf16));
            }
        }
    }
}

/* softmax of `count` values in place; the row has room up to a whole vector, since a rest of single
 * values would take as long as a hundred. */
static inline void softmax(float *row, size count) {
    size whole = whole_vectors(count);
    float most = -INFINITY, sum = 0;
    for (size k = count; k < whole; k++) row[k] = -INFINITY;
#pragma omp simd reduction(max : most)
    for (size k = 0; k < whole; k++) most = row[k] > most ? row[k] : most;
#pragma omp simd reduction(+ : sum)
    for (size k = 0; k < whole; k++) sum += row[k] = exponential(row[k] - most);
    float scale = 1.0f / sum;
    for (size k = 0; k < whole; k++) row[k] *= scale;
}

/* softmax(scores + mask) in place. scores: heads × queries × keys; mask: queries × the keys from
 * `masked_from` on. Query q sees no key after `first` + q, so none of those is looked at. */
void masked_softmax(bf16 *scores, const bf16 *mask, size heads, size queries, size keys,
                    size masked_from, size first, int threads) {
    PARALLEL(heads * queries * keys)
    for (size m = 0; m < heads * queries; m++) {
        bf16 *own = scores + m * keys;
        const bf16 *hidden = mask + (m % queries) * (keys - masked_from) - masked_from;
        size seen = first + m % queries + 1, whole = whole_vectors(seen);
        float row[whole];
        bf16 weights[whole];
        for (size k = 0; k < seen; k++) row[k] = wide(own[k]);
        for (size k = masked_from; k < seen; k++) row[k] += wide(hidden[k]);
        softmax(row, seen);
        narrow_vectors(row, weights, whole);
        memcpy(own, weights, seen * sizeof(bf16));
        memset(own + seen, 0, (keys - seen) * sizeof(bf16));
    }
}

/* Rows at once, in loops whose sums must not leave the registers. */
enum { MOST_HEADS = 4, MOST_ROWS = 4, RANKS = 4 };

/* Two bf16 in one word, the first in its lower half: what such products are made of, since some
 * processors multiply two and add both in one instruction. */
typedef uint32_t pair;

static inline vector_bits pairs_at(const pair *from) {
    vector_bits pairs;
    memcpy(&pairs, from, sizeof pairs);
    return pairs;
}

static inline vector firsts(vector_bits pairs) { return (vector)(pairs << 16); }
static inline vector seconds(vector_bits pairs) { return (vector)(pairs & 0xffff0000u); }

#ifdef __AVX512BF16__
typedef pair weight;

static inline weight weight_of(float first, float second) {
    return (pair)narrow(first) | (pair)narrow(second) << 16;
}

/* Panels at a time: each addition waits for the one before it in its panel. */
enum { PANELS = 4 };

static inline vector add_both(vector sums, vector_bits one, vector_bits other) {
    return (vector)_mm512_dpbf16_ps((__m512)sums, (__m512bh)one, (__m512bh)other);
}

static inline vector add_weighted(vector sums, weight w, vector_bits pairs) {
    return add_both(sums, (vector_bits)_mm512_set1_epi32((int)w), pairs);
}
#else
typedef struct { float first, second; } weight;
enum { PANELS = 2 };

static inline weight weight_of(float first, float second) { return (weight){first, second}; }

static inline vector add_both(vector sums, vector_bits one, vector_bits other) {
    return sums + firsts(one) * firsts(other) + seconds(one) * seconds(other);
}

static inline vector add_weighted(vector sums, weight w, vector_bits pairs) {
    return sums + w.first * firsts(pairs) + w.second * seconds(pairs);
}
#endif

static inline __attribute__((always_inline)) void sum_panels(
    const int R, const int panels, float *sums, size sums_apart, const weight *weights,
    size weights_apart, const pair *rows, size stride, size panel, size count, size next) {
    vector total[PANELS][MOST_HEADS] = {0};
    for (size j = 0; j < count; j++)
        for (int p = 0; p < panels; p++) {
            const pair *from = rows + p * panel + j * stride;
            vector_bits row = pairs_at(from);
            __builtin_prefetch(from + next, 0, 2);
            for (int r = 0; r < R; r++)
                total[p][r] = add_weighted(total[p][r], weights[r * weights_apart + j], row);
        }
    for (int p = 0; p < panels; p++)
        for (int r = 0; r < R; r++)
            memcpy(sums + r * sums_apart + p * LANES, &total[p][r], sizeof(vector));
}

/* sums[r][k] = Σ_j weights[r][j] · rows[j][k] for R rows of sums and weights, where j counts pairs.
 *
 * rows: count × columns, `stride` apart, in panels of LANES columns that lie `panel` apart. Columns
 * are computed up to the next multiple of LANES. What lies `next` further is fetched meanwhile. */
static inline __attribute__((always_inline)) void weighted_sums(
    const int R, float *sums, size sums_apart, const weight *weights, size weights_apart,
    const pair *rows, size stride, size panel, size count, size columns, size next) {
    size left = whole_vectors(columns) / LANES;
    for (; left >= PANELS; left -= PANELS, sums += PANELS * LANES, rows += PANELS * panel)
        sum_panels(R, PANELS, sums, sums_apart, weights, weights_apart, rows, stride, panel, count,
                   next);
    for (; left > 0; left--, sums += LANES, rows += panel)
        sum_panels(R, 1, sums, sums_apart, weights, weights_apart, rows, stride, panel, count, next);
}

#define WEIGHTED_SUMS(...)                       \
    switch (R) {                               \
        case 1: weighted_sums(1, __VA_ARGS__); break; \
        case 2: weighted_sums(2, __VA_ARGS__); break; \
        case 3: weighted_sums(3, __VA_ARGS__); break; \
        default: weighted_sums(MOST_HEADS, __VA_ARGS__); \
    }

/* One more token for each branch: rotates its query and key, puts key and value into the cache, and
 * attends to its prompt and to all that it drew.
 *
 * heads: branches × (H + 2 G) × D, D a multiple of LANES; cosine, sine: branches × D; prompt_of: the
 * prompt of each branch. Keys are pairs of a token's neighbouring values, in panels of LANES tokens,
 * D / 2 × LANES each; values are pairs of neighbouring tokens, D each. prompt_keys, prompt_values:
 * prompts × G × `prompt` tokens rounded up to a whole panel, zeros after the last; keys, values: the
 * same of each branch, with room for `capacity` tokens, whole panels, of which `before` are there;
 * mask: branches × (prompt + before + 1), added to the scores; out: branches × H × D.
 */
void attend_token(const bf16 *heads, const bf16 *cosine, const bf16 *sine, const size *prompt_of,
                  const pair *prompt_keys, const pair *prompt_values, pair *keys, pair *values,
                  const bf16 *mask, bf16 *out, size branches, size H, size G, size D, size prompt,
                  size capacity, size before, float scaling, int threads) {
    size drawn = before + 1, padded = whole_vectors(prompt), own = whole_vectors(drawn);
    size half = D / 2, width = padded + own, next = half * capacity;
    PARALLEL(branches * H * D * (prompt + drawn) / 16)
    for (size m = 0; m < branches * G; m++) {
        size n = m / G, g = m % G, shared = (prompt_of[n] * G + g) * half * padded;
        const bf16 *parts = heads + n * (H + 2 * G) * D, *c = cosine + n * D, *s = sine + n * D;
        const bf16 *hidden = mask + n * (prompt + drawn);
        const pair *prompt_k = prompt_keys + shared, *prompt_v = prompt_values + shared;
        pair *k = keys + m * next, *v = values + m * next;
        bf16 turned[D];
        float scores[MOST_HEADS * width], attended[MOST_HEADS * D], rest[MOST_HEADS * D];
        weight q[MOST_HEADS * half], weights[MOST_HEADS * width / 2];
        turn(parts + (H + g) * D, turned, c, s, half, 1.0f, 1.0f);
        pair *place = k + before / LANES * LANES * half + before % LANES;
        for (size d = 0; d < half; d++) memcpy(place + d * LANES, turned + 2 * d, sizeof(pair));
        const bf16 *value = parts + (H + G + g) * D;
        place = v + before / 2 * D;
        for (size d = 0; d < D; d++)
            place[d] = before % 2 ? (place[d] & 0xffff) | (pair)value[d] << 16 : value[d];
        for (size first = g * (H / G); first < (g + 1) * (H / G); first += MOST_HEADS) {
            size left = (g + 1) * (H / G) - first, R = left < MOST_HEADS ? left : MOST_HEADS;
            for (size r = 0; r < R; r++) {
                turn(parts + (first + r) * D, turned, c, s, half, 1.0f, 1.0f);
                for (size d = 0; d < half; d++)
                    q[r * half + d] = weight_of(wide(turned[2 * d]), wide(turned[2 * d + 1]));
            }
            WEIGHTED_SUMS(scores, width, q, half, prompt_k, LANES, half * LANES, half, prompt, 0)
            WEIGHTED_SUMS(scores + padded, width, q, half, k, LANES, half * LANES, half, drawn, next)
            for (size r = 0; r < R; r++) {
                float *row = scores + r * width;
                for (size t = 0; t < prompt; t++) row[t] = row[t] * scaling + wide(hidden[t]);
                for (size t = prompt; t < padded; t++) row[t] = -INFINITY;
                for (size t = 0; t < drawn; t++)
                    row[padded + t] = row[padded + t] * scaling + wide(hidden[prompt + t]);
                softmax(row, padded + drawn);
                for (size t = 0; t < width / 2; t++)
                    weights[r * width / 2 + t] = weight_of(row[2 * t], row[2 * t + 1]);
            }
            weight *later = weights + padded / 2;
            WEIGHTED_SUMS(attended, D, weights, width / 2, prompt_v, D, LANES, padded / 2, D, 0)
            WEIGHTED_SUMS(rest, D, later, width / 2, v, D, LANES, (drawn + 1) / 2, D, next)
            bf16 *to = out + (n * H + first) * D;
            for (size d = 0; d < R * D; d++) to[d] = narrow(attended[d] + rest[d]);
        }
    }
}

static inline float sum_of(vector values) {
    float lanes[LANES];
    memcpy(lanes, &values, sizeof lanes);
    for (size half = LANES / 2; half > 0; half /= 2)
        for (size lane = 0; lane < half; lane++) lanes[lane] += lanes[lane + half];
    return lanes[0];
}

/* low = x Aᵀ for R rows. x: R × width; A: rank × width; low: R × rank. */
static inline __attribute__((always_inline)) void reduce_rank(
    const int R, const bf16 *x, const bf16 *A, float *low, size width, size rank) {
    size whole = width / (2 * LANES) * 2 * LANES;
    for (size j = 0; j < rank; j += RANKS) {
        const bf16 *rows[RANKS];
        for (size i = 0; i < RANKS; i++) rows[i] = A + (j + i < rank ? j + i : rank - 1) * width;
        vector sums[RANKS][MOST_ROWS] = {0};
        for (size d = 0; d < whole; d += 2 * LANES) {
            vector_bits own[MOST_ROWS];
            for (int r = 0; r < R; r++) own[r] = pairs_at((const pair *)(x + r * width + d));
            for (int i = 0; i < RANKS; i++) {
                vector_bits row = pairs_at((const pair *)(rows[i] + d));
                for (int r = 0; r < R; r++) sums[i][r] = add_both(sums[i][r], own[r], row);
            }
        }
        for (int r = 0; r < R; r++)
            for (size i = 0; i < RANKS && j + i < rank; i++) {
                float total = sum_of(sums[i][r]);
                for (size d = whole; d < width; d++)
                    total += wide(x[r * width + d]) * wide(rows[i][d]);
                low[r * rank + j + i] = total;
            }
    }
}

/* out += low B for R rows and some panels of columns. */
static inline __attribute__((always_inline)) void expand_panels(
    const int R, const int panels, const weight *low, const pair *B, bf16 *out, size ranks,
    size columns) {
    vector total[PANELS][MOST_ROWS];
    for (int p = 0; p < panels; p++)
        for (int r = 0; r < R; r++) total[p][r] = wide_vector(out + r * columns + p * LANES);
    for (size j = 0; j < ranks; j++)
        for (int p = 0; p < panels; p++) {
            vector_bits row = pairs_at(B + j * columns + p * LANES);
            for (int r = 0; r < R; r++)
                total[p][r] = add_weighted(total[p][r], low[r * ranks + j], row);
        }
    for (int p = 0; p < panels; p++)
        for (int r = 0; r < R; r++) narrow_vector(total[p][r], out + r * columns + p * LANES);
}

/* out += x Aᵀ B for R rows. */
static inline __attribute__((always_inline)) void add_rows(
    const int R, const bf16 *x, const bf16 *A, const pair *B, bf16 *out, size width, size rank,
    size columns) {
    size ranks = (rank + 1) / 2;
    float low[MOST_ROWS * rank];
    weight weights[MOST_ROWS * ranks];
    reduce_rank(R, x, A, low, width, rank);
    for (size r = 0; r < R; r++)
        for (size j = 0; j < ranks; j++) {
            const float *own = low + r * rank + 2 * j;
            weights[r * ranks + j] = weight_of(own[0], 2 * j + 1 < rank ? own[1] : 0);
        }
    size k = 0;
    for (; k + PANELS * LANES <= columns; k += PANELS * LANES)
        expand_panels(R, PANELS, weights, B + k, out + k, ranks, columns);
    for (; k < columns; k += LANES) expand_panels(R, 1, weights, B + k, out + k, ranks, columns);
}

/* out += x Aᵀ B. x: rows × width; A: rank × width; B: pairs of ranks, the last with a zero where
 * `rank` is odd, by columns, a multiple of LANES; out: rows × columns. */
void add_low_rank(const bf16 *x, const bf16 *A, const pair *B, bf16 *out, size rows, size width,
                  size rank, size columns, int threads) {
    PARALLEL(rows * rank * (width + columns))
    for (size m = 0; m < rows; m += MOST_ROWS) {
        const bf16 *own = x + m * width;
        bf16 *to = out + m * columns;
        if (rows - m >= MOST_ROWS) {
            add_rows(MOST_ROWS, own, A, B, to, width, rank, columns);
            continue;
        }
        for (size r = 0; r < rows - m; r++)
            add_rows(1, own + r * width, A, B, to + r * columns, width, rank, columns);
    }
}

static inline float log_normalizer(const bf16 *logits, size vocabulary, float most) {
    double total = 0;
    for (size first = 0; first < vocabulary; first += 4096) {
        size stop = first + 4096 < vocabulary ? first + 4096 : vocabulary;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (size v = first; v < stop; v++) sum += exponential(wide(logits[v]) - most);
        total += sum;
    }
    return most + (float)log(total);
}

static inline float largest(const bf16 *values, size count) {
    float most = -INFINITY;
#pragma omp simd reduction(max : most)
    for (size v = 0; v < count; v++) most = wide(values[v]) > most ? wide(values[v]) : most;
    return most;
}

/* log Σ exp of each row. logits: rows × vocabulary. */
void log_normalizers(const bf16 *logits, float *log_z, size rows, size vocabulary, int threads) {
    PARALLEL(rows * vocabulary)
    for (size m = 0; m < rows; m++) {
        const bf16 *own = logits + m * vocabulary;
        log_z[m] = log_normalizer(own, vocabulary, largest(own, vocabulary));
    }
}

/* Puts a value into `kept`, `held` of at most `count` in falling order, if it belongs there; of equal
 * values the one that came first stands first. Returns how many there are. */
static inline size insert(float value, size id, float *kept, int64_t *ids, size held, size count) {
    if (held == count && !(value > kept[count - 1])) return held;
    size at = held < count ? held : count - 1;
    for (; at > 0 && value > kept[at - 1]; at--) kept[at] = kept[at - 1], ids[at] = ids[at - 1];
    kept[at] = value, ids[at] = id;
    return held < count ? held + 1 : count;
}

/* The `count` largest logits of each row in falling order, equal ones by id, their ids, and log Σ exp
 * of all. logits: rows × vocabulary; top, ids: rows × count; `count` blocks of BLOCK at least fit into
 * the vocabulary. The count-th largest of the blocks' largest bounds what need be looked at. */
void likeliest(const bf16 *logits, float *top, int64_t *ids, float *log_z, size rows,
               size vocabulary, size count, int threads) {
    PARALLEL(rows * vocabulary)
    for (size m = 0; m < rows; m++) {
        const bf16 *own = logits + m * vocabulary;
        float *kept = top + m * count;
        int64_t *kept_ids = ids + m * count;
        size blocks = (vocabulary + BLOCK - 1) / BLOCK, held = 0;
        float most[blocks];
        for (size b = 0; b < blocks; b++) {
            size left = vocabulary - b * BLOCK;
            most[b] = left < BLOCK ? largest(own + b * BLOCK, left) : largest(own + b * BLOCK, BLOCK);
            held = insert(most[b], b, kept, kept_ids, held, count);
        }
        log_z[m] = log_normalizer(own, vocabulary, kept[0]);
        float bound = kept[count - 1];
        held = 0;
        for (size b = 0; b < blocks; b++) {
            if (most[b] < bound) continue;
            size stop = (b + 1) * BLOCK < vocabulary ? (b + 1) * BLOCK : vocabulary;
            for (size v = b * BLOCK; v < stop; v++)
                if (wide(own[v]) >= bound)
                    held = insert(wide(own[v]), v, kept, kept_ids, held, count);
        }
    }
}

/* -exp(logits - log_z) of the rows that `chosen` names, in out: count × vocabulary. */
void minus_probabilities(const bf16 *logits, const float *log_z, const size *chosen, bf16 *out,
                         size count, size vocabulary, int threads) {
    PARALLEL(count * vocabulary)
    for (size m = 0; m < count; m++) {
        const bf16 *own = logits + chosen[m] * vocabulary;
        bf16 *to = out + m * vocabulary;
        float z = log_z[chosen[m]];
        ROUND_EACH(to, vocabulary, v, -exponential(wide(own[v]) - z));
    }
}
