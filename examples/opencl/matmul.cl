// C = A * B for square matrices of n rows. Every work item computes ITEM_X x ITEM_Y numbers of C;
// the items of a group share blocks of A and B in local memory if LOCAL is 1.

#define BLOCK_X (GROUP_X * ITEM_X)
#define BLOCK_Y (GROUP_Y * ITEM_Y)

__kernel __attribute__((reqd_work_group_size(GROUP_X, GROUP_Y, 1))) void matmul(
    __global const float* a, __global const float* b, __global float* c, const int n) {
  const int x0 = get_group_id(0) * BLOCK_X, y0 = get_group_id(1) * BLOCK_Y;
  const int lx = get_local_id(0), ly = get_local_id(1);
  float sums[ITEM_Y][ITEM_X];
  for (int y = 0; y < ITEM_Y; ++y)
    for (int x = 0; x < ITEM_X; ++x) sums[y][x] = 0.0f;
#if LOCAL
  __local float as[BLOCK_Y][DEPTH], bs[DEPTH][BLOCK_X];
#endif
  for (int k0 = 0; k0 < n; k0 += DEPTH) {
#if LOCAL
    const int item = ly * GROUP_X + lx, items = GROUP_X * GROUP_Y;
    for (int at = item; at < BLOCK_Y * DEPTH; at += items)
      as[at / DEPTH][at % DEPTH] = a[(y0 + at / DEPTH) * n + k0 + at % DEPTH];
    for (int at = item; at < DEPTH * BLOCK_X; at += items)
      bs[at / BLOCK_X][at % BLOCK_X] = b[(k0 + at / BLOCK_X) * n + x0 + at % BLOCK_X];
    barrier(CLK_LOCAL_MEM_FENCE);
#define A(y, k) as[y][k]
#define B(k, x) bs[k][x]
#else
#define A(y, k) a[(y0 + (y)) * n + k0 + (k)]
#define B(k, x) b[(k0 + (k)) * n + x0 + (x)]
#endif
    for (int k = 0; k < DEPTH; ++k)
      for (int y = 0; y < ITEM_Y; ++y)
        for (int x = 0; x < ITEM_X; ++x)
          sums[y][x] += A(ly * ITEM_Y + y, k) * B(k, lx * ITEM_X + x);
#if LOCAL
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
  }
  for (int y = 0; y < ITEM_Y; ++y)
    for (int x = 0; x < ITEM_X; ++x)
      c[(y0 + ly * ITEM_Y + y) * n + x0 + lx * ITEM_X + x] = sums[y][x];
}
