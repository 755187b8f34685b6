// The product of two square matrices, computed block by block. How large the blocks are, how wide
// the register tile is and in which order the blocks come is left open: it is set by -D flags.
//
//   g++ -O3 -march=native -DBLOCK_I=64 -DBLOCK_J=64 -DBLOCK_K=64 -DTILE_I=4 -DTILE_J=16
//       -DORDER=1 matmul.cpp -o matmul
//   ./matmul 384        prints the seconds of the fastest of three products, and a checksum

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

// One tile of TILE_I x TILE_J sums, which stay in registers if they fit.
inline void tile(const float* a, const float* b, float* c, int n, int depth) {
  float sums[TILE_I][TILE_J];
  for (int i = 0; i < TILE_I; ++i)
    for (int j = 0; j < TILE_J; ++j) sums[i][j] = c[i * n + j];
  for (int k = 0; k < depth; ++k)
    for (int i = 0; i < TILE_I; ++i)
      for (int j = 0; j < TILE_J; ++j) sums[i][j] += a[i * n + k] * b[k * n + j];
  for (int i = 0; i < TILE_I; ++i)
    for (int j = 0; j < TILE_J; ++j) c[i * n + j] = sums[i][j];
}

inline void block(const float* a, const float* b, float* c, int n) {
  for (int i = 0; i < BLOCK_I; i += TILE_I)
    for (int j = 0; j < BLOCK_J; j += TILE_J)
      tile(a + i * n, b + j, c + i * n + j, n, BLOCK_K);
}

void multiply(const float* a, const float* b, float* c, int n) {
#if ORDER == 0
  for (int i = 0; i < n; i += BLOCK_I)
    for (int j = 0; j < n; j += BLOCK_J)
      for (int k = 0; k < n; k += BLOCK_K)
#else
  for (int i = 0; i < n; i += BLOCK_I)
    for (int k = 0; k < n; k += BLOCK_K)
      for (int j = 0; j < n; j += BLOCK_J)
#endif
        block(a + i * n + k, b + k * n + j, c + i * n + j, n);
}

}  // namespace

int main(int argc, char** argv) {
  const int n = argc > 1 ? std::atoi(argv[1]) : 384;
  if (n % BLOCK_I || n % BLOCK_J || n % BLOCK_K || BLOCK_I % TILE_I || BLOCK_J % TILE_J) {
    std::fprintf(stderr, "error: blocks have to divide %d, and tiles the blocks\n", n);
    return 1;
  }
  std::vector<float> a(n * n), b(n * n), c(n * n);
  unsigned state = 1;
  for (auto* matrix : {&a, &b})
    for (auto& value : *matrix) {
      state = state * 1664525u + 1013904223u;
      value = static_cast<float>(state >> 8) / (1 << 24) - 0.5f;
    }
  double fastest = 1e30;
  for (int run = 0; run < 3; ++run) {
    c.assign(n * n, 0.0f);
    const auto begin = std::chrono::steady_clock::now();
    multiply(a.data(), b.data(), c.data(), n);
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
    if (passed.count() < fastest) fastest = passed.count();
  }
  double sum = 0, weighted = 0;
  for (int at = 0; at < n * n; ++at) {
    sum += c[at];
    weighted += c[at] * (at % 97);
  }
  std::printf("seconds: %.9f\nchecksum: %.6e %.6e\n", fastest, sum, weighted);
}
