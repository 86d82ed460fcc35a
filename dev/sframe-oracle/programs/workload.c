/* What is recorded: recursion, frames of changing size, calls through pointers, leaf functions in assembly. */
typedef unsigned long u64;

extern u64 leaf_plain(u64 a, u64 b);
extern u64 leaf_with_frame(u64 a, u64 b);
extern u64 calls_back(u64 (*function)(u64), u64 argument);
extern long system_call(long number, long a, long b, long c, long d);

static volatile u64 sink;

__attribute__((noinline)) u64 fibonacci(u64 n)
{
	return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

__attribute__((noinline)) u64 variable(u64 length)
{
	volatile unsigned char bytes[length * 24 + 1];
	for (u64 at = 0; at < length; at++)
		bytes[at * 24] = (unsigned char)(at * 7);
	if (length > 1)
		return bytes[24] + variable(length - 1) + leaf_plain(length, bytes[0]);
	return bytes[0];
}

__attribute__((noinline)) u64 large(u64 key)
{
	volatile u64 words[600];
	words[key % 600] = key;
	words[599] = leaf_with_frame(key, 3);
	return words[key % 600] + words[599];
}

__attribute__((noinline)) u64 many(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f, u64 g, u64 h, u64 i, u64 j)
{
	u64 x = leaf_plain(a, b), y = leaf_plain(c, d), z = leaf_with_frame(e, f), w = large(g);
	return x * h + y * i + z * j + w;
}

__attribute__((noinline)) u64 odd(u64 n);
__attribute__((noinline)) u64 even(u64 n)
{
	return n == 0 ? 1 : odd(n - 1);
}
__attribute__((noinline)) u64 odd(u64 n)
{
	return n == 0 ? 0 : even(n - 1);
}

#ifdef SIGNALS
struct action {
	void (*handler)(int);
	u64 flags;
	void (*restorer)(void);
	u64 mask;
};
extern void restorer(void);

extern void on_signal(int number);
void handle_signal(int number)
{
	sink += fibonacci(3) + (u64)number;
	sink += variable(2);
}

static void with_signals(void)
{
	struct action action = { on_signal, 0x04000000, restorer, 0 };
	system_call(SYS_SIGACTION, 10, (long)&action, 0, 8);
	long self = system_call(SYS_GETPID, 0, 0, 0, 0);
	system_call(SYS_KILL, self, 10, 0, 0);
	sink += leaf_plain(1, 2);
	system_call(SYS_KILL, self, 10, 0, 0);
}
#endif

int run(void)
{
	sink += fibonacci(6);
	sink += variable(4);
	sink += many(1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
	sink += calls_back(fibonacci, 3);
	sink += even(3);
#ifdef SIGNALS
	with_signals();
#endif
	return 0;
}
