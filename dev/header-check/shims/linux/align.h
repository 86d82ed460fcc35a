#define ALIGN(x, a) (((x) + (a) - 1) & ~((__typeof__(x))(a) - 1))
