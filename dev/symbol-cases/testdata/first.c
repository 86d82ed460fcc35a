/* One half of a module: names that its other half has as well, in other sections. */
static const char name[] __attribute__((section(".modinfo"), used)) = "name=committed_one";

static int state __attribute__((used)) = 1;
static char table[64] __attribute__((used));

/* In front in the symbol table, behind in memory: the sections decide. */
__attribute__((section(".text.unlikely"), noinline, used)) static int helper(int value)
{
	return value * 3 + state;
}

int shared(int value) __attribute__((alias("entry")));

int entry(int value)
{
	table[value & 63] = 1;
	return helper(value) + table[0];
}

__attribute__((section(".init.text"), used)) static int setup(void)
{
	return entry(1);
}

__attribute__((section(".exit.text"), used)) static void leave(void)
{
	state = 0;
}
