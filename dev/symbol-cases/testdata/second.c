/* The other half. */
int entry(int value);

static int state __attribute__((used)) = 2;
static const int table[16] __attribute__((used)) = { 1, 2, 3 };

__attribute__((noinline, used)) static int helper(int value)
{
	return value + state + table[value & 15];
}

int second(int value)
{
	return helper(value) + entry(value);
}

__attribute__((section(".noinstr.text"), noinline, used)) static int quiet(int value)
{
	return value ^ state;
}

__attribute__((section(".init.text"), used)) static int setup(void)
{
	return second(2) + quiet(1);
}
