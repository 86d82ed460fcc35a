/* What a compiler makes of ordinary functions: the fixture next to the hand-written ones. */
extern int consume(const char *text, int length);
extern int choose(int key);

static int depth;

int fibonacci(int n)
{
	depth++;
	return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

int copy_backwards(const char *from, int length)
{
	char to[length + 1];
	for (int at = 0; at < length; at++)
		to[length - 1 - at] = from[at];
	to[length] = 0;
	return consume(to, length);
}

int large_frame(int key)
{
	char text[70000];
	for (int at = 0; at < 70000; at++)
		text[at] = (char)(key + at);
	return consume(text, 70000);
}

int many_registers(int a, int b, int c, int d)
{
	int e = choose(a), f = choose(b), g = choose(c), h = choose(d);
	if (e > f)
		return choose(g) + fibonacci(h) * e + f;
	for (int at = 0; at < g; at++)
		h += choose(at + e) * f;
	return a + b + c + d + e + f + g + h;
}

int tail(int key)
{
	return choose(key + 1);
}
