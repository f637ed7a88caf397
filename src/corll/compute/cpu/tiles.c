/* Products of bf16 matrices by a processor's tiles (AMX): x Wᵀ + (x Aᵀ) Bᵀ + bias + residual, summed in
 * float32 and rounded once, x Aᵀ once more.
 *
 * What it buys on an Intel Xeon with AMX: the four products of a layer of SmolLM2-135M in drafting take
 * two thirds of oneDNN's time, and adapters cost nothing; with adapters one row takes 0.20 ms where
 * oneDNN's products and torch's adapters take 0.52, 128 rows 0.59 ms where they take 1.02
 * (benchmarks/LOG.md, 2026-11-26). In a step it is as quick as oneDNN, and saves a second copy of the
 * weights.
 *
 * A tile holds 16 rows of 32 values; of a weight 16 outputs by 32 values, as pairs of values. Weights
 * lie in the order in which they are read: for each 32 outputs, for each 32 values, two tiles, 16
 * pairs × 16 outputs each. All other matrices are row-major and contiguous; widths, columns and ranks
 * are multiples of 32.
 */

#if defined(__AMX_BF16__) && defined(__AVX512BF16__)

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bf16.h"

enum { SIDE = 16, STEP = 32, TILE = SIDE * STEP };

/* What the second cache holds: rows of x, while all columns pass by, and weights of some columns,
 * while these rows do. Rows of several columns are written in one go. */
enum { BYTES_OF_X = 1 << 19, BYTES_OF_WEIGHTS = 1 << 18 };

/* Whether the system lets this process use tiles; asking is what permits it. */
int tiles_allowed(void) {
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

/* Tiles 0 and 1 are the sums of the first 16 rows, 2 and 3 those of the next; 4 and 5 these rows of x;
 * 6 and 7 weights. */
static void configure(size first, size second) {
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shape = {.palette = 1};
    for (int tile = 0; tile < 8; tile++) {
        shape.row_bytes[tile] = 2 * STEP;
        shape.rows[tile] = SIDE;
    }
    shape.rows[0] = shape.rows[1] = shape.rows[4] = (uint8_t)first;
    if (second) shape.rows[2] = shape.rows[3] = shape.rows[5] = (uint8_t)second;
    _tile_loadconfig(&shape);
}

/* Adds x Wᵀ to the tiles of sums. */
static inline __attribute__((always_inline)) void multiply(
    const int both, const bf16 *x, const bf16 *weight, size width) {
    const bf16 *next = x + SIDE * width;
    for (size k = 0; k < width; k += STEP, weight += 2 * TILE) {
        _tile_loadd(6, weight, 2 * STEP);
        _tile_loadd(4, x + k, 2 * width);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, weight + TILE, 2 * STEP);
        _tile_dpbf16ps(1, 4, 7);
        if (both) {
            _tile_loadd(5, next + k, 2 * width);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
    }
}

static inline void add(const bf16 *from, __m512 *left, __m512 *right) {
    *left = _mm512_add_ps(*left, (__m512)wide_vector(from));
    *right = _mm512_add_ps(*right, (__m512)wide_vector(from + LANES));
}

/* Rounds the sums of up to 16 rows by 32 columns. */
static inline void finish(const float *sums, const bf16 *bias, const bf16 *residual, bf16 *out,
                          size rows, size columns) {
    for (size m = 0; m < rows; m++) {
        __m512 left = _mm512_load_ps(sums + m * SIDE);
        __m512 right = _mm512_load_ps(sums + (SIDE + m) * SIDE);
        if (bias) add(bias, &left, &right);
        if (residual) add(residual + m * columns, &left, &right);
        __m512bh rounded = _mm512_cvtne2ps_pbh(right, left);
        memcpy(out + m * columns, &rounded, sizeof rounded);
    }
}

/* What a product is made of; `low` is x Aᵀ. Bias and residual may be missing, rank be 0. */
typedef struct {
    const bf16 *x, *weight, *low, *B, *bias, *residual;
    bf16 *out;
    size width, rank, columns;
} product;

/* Up to 32 rows from `m` on, by 32 columns from `n` on. */
static void compute(const product *p, size m, size n, size rows) {
    float sums[4 * SIDE * SIDE] __attribute__((aligned(64)));
    size first = rows < SIDE ? rows : SIDE, at = m * p->columns + n;
    const bf16 *x = p->x + m * p->width, *weight = p->weight + n * p->width;
    const bf16 *low = p->low + m * p->rank, *B = p->B + n * p->rank;
    const bf16 *bias = p->bias ? p->bias + n : 0, *residual = p->residual ? p->residual + at : 0;
    _tile_zero(0);
    _tile_zero(1);
    if (rows > SIDE) {
        _tile_zero(2);
        _tile_zero(3);
        multiply(1, x, weight, p->width);
        multiply(1, low, B, p->rank);
        _tile_stored(2, sums + 2 * SIDE * SIDE, 4 * SIDE);
        _tile_stored(3, sums + 3 * SIDE * SIDE, 4 * SIDE);
    } else {
        multiply(0, x, weight, p->width);
        multiply(0, low, B, p->rank);
    }
    _tile_stored(0, sums, 4 * SIDE);
    _tile_stored(1, sums + SIDE * SIDE, 4 * SIDE);
    finish(sums, bias, residual, p->out + at, first, p->columns);
    if (rows > SIDE) {
        size below = at + SIDE * p->columns;
        finish(sums + 2 * SIDE * SIDE, bias, residual ? residual + SIDE * p->columns : 0,
               p->out + below, rows - SIDE, p->columns);
    }
}

/* A range of rows or columns. */
typedef struct {
    size start, stop;
} range;

static inline size least(size one, size other) { return one < other ? one : other; }

/* How many of `bytes` can be kept, in whole steps; at least one. */
static inline size steps_within(size bytes, size width) {
    size count = bytes / (size)(width * sizeof(bf16)) / STEP;
    return (count ? count : 1) * STEP;
}

/* `last` is how many rows the tiles are set up for. */
static void compute_all(const product *p, range rows, range columns, size *last) {
    size together = steps_within(BYTES_OF_WEIGHTS, p->width);
    for (size n = columns.start; n < columns.stop; n += together)
        for (size m = rows.start; m < rows.stop; m += STEP) {
            size count = least(rows.stop - m, STEP);
            if (count != *last) configure(least(count, SIDE), count < SIDE ? 0 : count - SIDE);
            *last = count;
            for (size c = n; c < least(n + together, columns.stop); c += STEP)
                compute(p, m, c, count);
        }
}

/* out = x Wᵀ + (x Aᵀ) Bᵀ + bias + residual. x: rows × width; weight: columns × width, A: rank × width,
 * B: columns × rank, in tiles; bias: columns; low, which becomes x Aᵀ: rows × rank; residual, out:
 * rows × columns. */
void tiled_product(const bf16 *x, const bf16 *weight, const bf16 *A, const bf16 *B, const bf16 *bias,
                   const bf16 *residual, bf16 *low, bf16 *out, size rows, size width, size rank,
                   size columns, int threads) {
    const product first = {.x = x, .weight = A, .out = low, .width = width, .columns = rank};
    const product second = {x, weight, low, B, bias, residual, out, width, rank, columns};
    size near = steps_within(BYTES_OF_X, width), steps = columns / STEP;
#pragma omp parallel num_threads(threads)
    {
        size last = 0;
#pragma omp for schedule(static)
        for (size m = 0; m < (rank ? rows : 0); m += STEP)
            compute_all(&first, (range){m, least(m + STEP, rows)}, (range){0, rank}, &last);
        for (size m = 0; m < rows; m += near)
#pragma omp for schedule(static) nowait
            for (int part = 0; part < threads; part++) {
                range own = {steps * part / threads * STEP, steps * (part + 1) / threads * STEP};
                compute_all(&second, (range){m, least(m + near, rows)}, own, &last);
            }
        _tile_release();
    }
}

#else

int tiles_allowed(void) { return 0; }

#endif
