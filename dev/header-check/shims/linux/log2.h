#define const_ilog2(n) (63 - __builtin_clzll(n))
