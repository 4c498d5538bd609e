/* How fast this machine can do it: the benchmarks' hardest cases, written by hand.
 *
 * Compiled twice, with -DREAL=double and -DREAL=float. Functions of an element are branch-free
 * polynomials that the compiler inlines and vectorises; results go to memory the caller reuses;
 * work above a threshold is shared by OpenMP's threads.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef SINGLE
typedef float real;
typedef int32_t bits;
#define SQRT sqrtf
#define FABS fabsf
#define MANTISSA 23
#define BIAS 127
#define MAGIC 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer */
#define LARGEST 88.0f
#define SMALLEST -87.0f
#define LN2_HIGH 0.693145752f
#define LN2_LOW 1.42860677e-6f
#define ERFC_CENTRE 2.0f
static const real EXP[] = {0.00139421598f, 0.00837596823f, 0.0416663401f, 0.166664053f,
                           0.500000005f,   1.00000004f,    1.0f};
static const real LOG[] = {0.296006914f, 0.399883189f, 0.666666862f};
static const real ERFC[] = {0.000165867579f, -0.000182478015f, -0.00140835775f, 0.0010404808f,
                            0.00870021721f,  -0.00794070691f,  -0.0542159009f,  0.164035273f,
                            -0.166030604f,   -0.0927630388f,   1.27697838f};
#else
typedef double real;
typedef int64_t bits;
#define SQRT sqrt
#define FABS fabs
#define MANTISSA 52
#define BIAS 1023
#define MAGIC 6755399441055744.0 /* 1.5 * 2^52 */
#define LARGEST 709.0
#define SMALLEST -708.0
#define LN2_HIGH 0.693147180369123816490
#define LN2_LOW 1.90821492927058770002e-10
#define ERFC_CENTRE 3.75
static const real EXP[] = {
    2.51112032574711387e-8,  2.76341554909894834e-7, 2.75572377367405999e-6, 2.48014813445703227e-5,
    1.98412698930495452e-4,  1.38888889562192147e-3, 8.33333333331846226e-3, 4.16666666664732922e-2,
    0.166666666666666823,    0.500000000000002031,   1.0,                    1.0};
static const real LOG[] = {0.131148353427811272, 0.132660487589481934, 0.153863424520424024,
                           0.181817937320568041, 0.222222224097507885, 0.28571428570723245,
                           0.400000000000010096, 0.666666666666666664};
static const real ERFC[] = {
    3.20527247494424165e-10, -2.61851916227960304e-9, -3.7981949048255877e-9,
    3.19539811116200912e-8,  2.33985453661276716e-8,  -2.48511075661402251e-7,
    -5.74107741731468505e-8, 1.74190118133473256e-6,  -9.7338750665866581e-7,
    -1.14379803645986765e-5, 2.23841385208231673e-5,  5.16464934052880566e-5,
    -2.90154042032050895e-4, 2.93714390580303762e-4,  1.75562584343158536e-3,
    -9.74657968596244504e-3, 2.83622774203773641e-2,  -5.86933985763105827e-2,
    9.23043211602589344e-2,  -0.108803930142466449,   8.22767384901497726e-2,
    3.5854154854795752e-3,   -0.140240598585547014,   1.23751263083782753};
#endif

#define LENGTH(table) ((int)(sizeof(table) / sizeof(table[0])))
#define INLINE static inline __attribute__((always_inline))
#define PARALLEL_FROM 16384 /* elements: less isn't worth waking threads for */

INLINE real polynomial(const real *c, int n, real x) {
    real sum = c[0];
#pragma GCC unroll 32
    for (int i = 1; i < n; i++) sum = sum * x + c[i];
    return sum;
}

INLINE real from_bits(bits b) { real x; memcpy(&x, &b, sizeof x); return x; }
INLINE bits to_bits(real x) { bits b; memcpy(&b, &x, sizeof b); return b; }

/* e^x for finite x, clamped to the normal numbers. */
INLINE real exponential(real x) {
    x = x > (real)LARGEST ? (real)LARGEST : x;
    x = x < (real)SMALLEST ? (real)SMALLEST : x;
    real shifted = x * (real)1.44269504088896340736 + (real)MAGIC;
    real k = shifted - (real)MAGIC;
    real r = (x - k * (real)LN2_HIGH) - k * (real)LN2_LOW;
    bits power = (to_bits(shifted) - to_bits((real)MAGIC) + BIAS) << MANTISSA;
    return polynomial(EXP, LENGTH(EXP), r) * from_bits(power);
}

/* log x for normal, positive x: x = 2^k m with m between sqrt(1/2) and sqrt(2). */
INLINE real logarithm(real x) {
    bits half = to_bits((real)0.70710678118654752440);
    bits scaled = to_bits(x) - half;
    bits k = scaled >> MANTISSA;
    real m = from_bits(to_bits(x) - (bits)((uint64_t)k << MANTISSA));
    real s = (m - 1) / (m + 1), z = s * s;
    real tail = s * z * polynomial(LOG, LENGTH(LOG), z);
    real n = (real)k;
    return n * (real)LN2_HIGH + (2 * s + (tail + n * (real)LN2_LOW));
}

INLINE real hyperbolic_tangent(real x) {
    real e = exponential(-2 * FABS(x));
    real t = (1 - e) / (1 + e);
    return x < 0 ? -t : t;
}

/* The normal distribution function, given e^(-d*d/2): erfc by a polynomial of (x - k)/(x + k). */
INLINE real normal_cdf(real d, real bell) {
    real x = FABS(d) * (real)0.70710678118654752440;
    real inverse = 1 / ((x + (real)ERFC_CENTRE) * (1 + 2 * x));
    real t = (x - (real)ERFC_CENTRE) * (1 + 2 * x) * inverse;
    real scale = (x + (real)ERFC_CENTRE) * inverse;
    real tail = (real)0.5 * bell * scale * polynomial(ERFC, LENGTH(ERFC), t);
    return d > 0 ? 1 - tail : tail;
}

void chain(int64_t n, const real *x, const real *y, real *out) {
#pragma omp parallel for simd if (parallel : n > PARALLEL_FROM)
    for (int64_t i = 0; i < n; i++) {
        real bell = exponential((real)-0.5 * x[i] * x[i]);
        real t = hyperbolic_tangent(x[i] * y[i] + (real)0.1);
        out[i] = bell * (1 + (real)0.3 * y[i]) - t;
    }
}

void chain_gradient(int64_t n, const real *x, const real *y, real *dx, real *dy) {
#pragma omp parallel for simd if (parallel : n > PARALLEL_FROM)
    for (int64_t i = 0; i < n; i++) {
        real bell = exponential((real)-0.5 * x[i] * x[i]);
        real t = hyperbolic_tangent(x[i] * y[i] + (real)0.1);
        real slope = 1 - t * t;
        dx[i] = -x[i] * bell * (1 + (real)0.3 * y[i]) - slope * y[i];
        dy[i] = (real)0.3 * bell - slope * x[i];
    }
}

/* The adjoint of the price of a call, rate 3%, volatility 20%. */
void black_scholes_gradient(int64_t n, const real *spot, const real *strike, const real *time,
                            real *d_spot, real *d_strike, real *d_time) {
    const real rate = 0.03, sigma = 0.2, density = 0.39894228040143267794;
#pragma omp parallel for simd if (parallel : n > PARALLEL_FROM)
    for (int64_t i = 0; i < n; i++) {
        real s = spot[i], k = strike[i], t = time[i];
        real root = SQRT(t), spread = sigma * root, per_spread = 1 / spread;
        real moneyness = logarithm(s / k) + (rate + (real)0.5 * sigma * sigma) * t;
        real d1 = moneyness * per_spread, d2 = d1 - spread;
        real bell1 = exponential((real)-0.5 * d1 * d1), bell2 = exponential((real)-0.5 * d2 * d2);
        real cdf1 = normal_cdf(d1, bell1), cdf2 = normal_cdf(d2, bell2);
        real discount = exponential(-rate * t);
        real bar2 = -k * discount * density * bell2;      /* of d2 */
        real bar1 = s * density * bell1 + bar2;           /* of d1 */
        real bar_spread = -bar2 - bar1 * d1 * per_spread;
        real bar_log = bar1 * per_spread;
        d_spot[i] = cdf1 + bar_log / s;
        d_strike[i] = -discount * cdf2 - bar_log / k;
        d_time[i] = rate * k * discount * cdf2 + bar_log * (rate + (real)0.5 * sigma * sigma) +
                    bar_spread * sigma * (real)0.5 / root;
    }
}

void softmax(int64_t rows, int64_t width, const real *x, real *out) {
#pragma omp parallel for if (parallel : rows * width > PARALLEL_FROM)
    for (int64_t i = 0; i < rows; i++) {
        const real *in = x + i * width;
        real *to = out + i * width, top = in[0], sum = 0;
#pragma omp simd reduction(max : top)
        for (int64_t j = 0; j < width; j++) top = in[j] > top ? in[j] : top;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < width; j++) sum += to[j] = exponential(in[j] - top);
        real scale = 1 / sum;
#pragma omp simd
        for (int64_t j = 0; j < width; j++) to[j] *= scale;
    }
}

void layer_norm(int64_t rows, int64_t width, const real *x, const real *gain, const real *shift,
                real *out) {
#pragma omp parallel for if (parallel : rows * width > PARALLEL_FROM)
    for (int64_t i = 0; i < rows; i++) {
        const real *in = x + i * width;
        real *to = out + i * width, sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < width; j++) sum += in[j];
        real mean = sum / width;
#pragma omp simd reduction(+ : squares)
        for (int64_t j = 0; j < width; j++) squares += (in[j] - mean) * (in[j] - mean);
        real scale = 1 / SQRT(squares / width + (real)1e-5);
#pragma omp simd
        for (int64_t j = 0; j < width; j++) to[j] = (in[j] - mean) * scale * gain[j] + shift[j];
    }
}

/* A block of columns for each thread; eight rows at a time go through the registers. */
void column_sums(int64_t rows, int64_t width, const real *x, real *out) {
    enum { BLOCK = 128 };
#pragma omp parallel for if (parallel : rows * width > PARALLEL_FROM)
    for (int64_t start = 0; start < width; start += BLOCK) {
        int64_t count = width - start < BLOCK ? width - start : BLOCK;
        real sums[BLOCK] = {0};
        for (int64_t i = 0; i < rows; i++) {
            const real *in = x + i * width + start;
#pragma omp simd
            for (int64_t j = 0; j < count; j++) sums[j] += in[j];
        }
        memcpy(out + start, sums, count * sizeof(real));
    }
}

/* Tiles that stay in the first cache. */
void transpose(int64_t n, const real *x, real *out) {
    enum { TILE = 16 };
#pragma omp parallel for if (parallel : n * n > PARALLEL_FROM)
    for (int64_t i0 = 0; i0 < n; i0 += TILE) {
        int64_t i1 = i0 + TILE < n ? i0 + TILE : n;
        for (int64_t j0 = 0; j0 < n; j0 += TILE) {
            int64_t j1 = j0 + TILE < n ? j0 + TILE : n;
            for (int64_t i = i0; i < i1; i++)
#pragma omp simd
                for (int64_t j = j0; j < j1; j++) out[i * n + j] = x[j * n + i];
        }
    }
}

/* Coordinates are first put side by side; the inner loop is arithmetic only. */
void forces(int64_t n, const real *x, const real *mass, real *out, real *work) {
    real *px = work, *py = work + n, *pz = work + 2 * n;
    for (int64_t i = 0; i < n; i++) {
        px[i] = x[3 * i];
        py[i] = x[3 * i + 1];
        pz[i] = x[3 * i + 2];
    }
#pragma omp parallel for if (parallel : n * n > PARALLEL_FROM)
    for (int64_t i = 0; i < n; i++) {
        real fx = 0, fy = 0, fz = 0, xi = px[i], yi = py[i], zi = pz[i];
#pragma omp simd reduction(+ : fx, fy, fz)
        for (int64_t j = 0; j < n; j++) {
            real dx = px[j] - xi, dy = py[j] - yi, dz = pz[j] - zi;
            real inverse = 1 / SQRT(dx * dx + dy * dy + dz * dz + (real)0.01);
            real weight = mass[j] * inverse * inverse * inverse;
            fx += weight * dx;
            fy += weight * dy;
            fz += weight * dz;
        }
        out[3 * i] = mass[i] * fx;
        out[3 * i + 1] = mass[i] * fy;
        out[3 * i + 2] = mass[i] * fz;
    }
}
