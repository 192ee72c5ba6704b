/* Functions with a few blocks each; see README.md for how they are built. */
static int collatz(int n) {
  int steps = 0;
  while (n != 1) {
    n = n & 1 ? 3 * n + 1 : n / 2;
    steps++;
  }
  return steps;
}

__attribute__((noinline)) int pick(int key) {
  switch (key) {
    case 0: return 7;
    case 1: return 11;
    default: return key * 3;
  }
}

int _start(int n) { return collatz(n) + pick(n); }
