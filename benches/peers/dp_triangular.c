/* Peer of benches/dp.rs: all budgets by a plain triangular loop, one thread.
 *
 *     gcc -O3 -march=native dp_triangular.c -o dp_triangular && ./dp_triangular [T, 1000 or 4000]
 *
 * Two loop orders, because compilers treat them differently: "row" is the recurrence as printed, a running minimum
 * over s, which strict floating point keeps scalar; "column" runs over t in the inner loop, on a transposed table, and
 * is vectorised. Prints "NAME SECONDS" after checking the costs of every budget against those of benches/dp.rs.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXPECTED_1000 0xad4e66b288fadde2u
#define EXPECTED_4000 0x882ac4f1f19ea994u

static double now(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec + 1e-9 * ts.tv_nsec;
}

static void *allocate(size_t doubles) {
    void *p = malloc(doubles * sizeof(double));
    if (!p) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return p;
}

/* The table of benches/dp.rs; the operations are chosen so that there is nothing to fuse. */
static double *table(int T) {
    size_t n = T + 1;
    double last = T, alpha_bar = 1.0;
    double *snr = allocate(n), *mse = allocate(n), *L = allocate(n * n);
    for (int i = 0; i < T; i++) {
        double beta = (1.0 + 199.0 * i / (last - 1.0)) / (10.0 * last);
        alpha_bar *= 1.0 - beta;
        snr[i + 1] = alpha_bar / (1.0 - alpha_bar);
        double x = (i + 1) / last;
        mse[i + 1] = 0.3 * (x / (x + 0.4));
    }
    for (int t = 1; t <= T; t++) {
        L[t * n] = 2.0 + t / last / 0.25;
        for (int s = 1; s < t; s++) L[t * n + s] = 0.5 * (snr[s] - snr[t]) * mse[t];
    }
    free(snr);
    free(mse);
    return L;
}

/* C[k][t], k = 0..T, inner loop over s. */
static void solve_rows(int T, const double *restrict L, double *restrict C) {
    size_t n = T + 1;
    for (size_t i = 0; i < n * n; i++) C[i] = INFINITY;
    C[0] = 0.0;
    for (int k = 1; k <= T; k++) {
        const double *before = C + (k - 1) * n;
        for (int t = k; t <= T; t++) {
            double smallest = INFINITY;
            for (int s = k - 1; s < t; s++) {
                double candidate = before[s] + L[t * n + s];
                smallest = candidate < smallest ? candidate : smallest;
            }
            C[k * n + t] = smallest;
        }
    }
}

/* The same, inner loop over t; M is the transposed table, M[s][t]. */
static void solve_columns(int T, const double *restrict M, double *restrict C) {
    size_t n = T + 1;
    for (size_t i = 0; i < n * n; i++) C[i] = INFINITY;
    C[0] = 0.0;
    for (int k = 1; k <= T; k++) {
        const double *before = C + (k - 1) * n;
        double *restrict row = C + k * n;
        for (int s = k - 1; s < T; s++) {
            double cost = before[s];
            const double *edges = M + s * n;
            for (int t = s + 1; t <= T; t++) {
                double candidate = cost + edges[t];
                row[t] = candidate < row[t] ? candidate : row[t];
            }
        }
    }
}

/* FNV-1a over the bits of C[1][T] .. C[T][T]. */
static uint64_t checksum(int T, const double *C) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (int k = 1; k <= T; k++) {
        uint64_t bits;
        memcpy(&bits, &C[k * (size_t)(T + 1) + T], sizeof bits);
        hash = (hash ^ bits) * 0x00000100000001b3u;
    }
    return hash;
}

static void check(int T, const double *C, const char *name) {
    uint64_t expected = T == 1000 ? EXPECTED_1000 : EXPECTED_4000;
    uint64_t found = checksum(T, C);
    if (found != expected) {
        fprintf(stderr, "%s: costs differ from those of benches/dp.rs: checksum %llx, expected %llx\n", name,
                (unsigned long long)found, (unsigned long long)expected);
        exit(1);
    }
}

int main(int argc, char **argv) {
    int T = argc > 1 ? atoi(argv[1]) : 4000;
    if (T != 1000 && T != 4000) {
        fprintf(stderr, "T: expected 1000 or 4000\n");
        return 2;
    }
    size_t n = T + 1;
    double *L = table(T), *C = allocate(n * n);

    double begin = now();
    solve_rows(T, L, C);
    double rows = now() - begin;
    check(T, C, "c_row");

    double *M = allocate(n * n);
    for (int t = 1; t <= T; t++)
        for (int s = 0; s < t; s++) M[s * n + t] = L[t * n + s];
    begin = now();
    solve_columns(T, M, C);
    double columns = now() - begin;
    check(T, C, "c_column");

    printf("c_row %.6f\nc_column %.6f\n", rows, columns);
    return 0;
}
