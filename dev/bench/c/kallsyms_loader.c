/*
 * The usual way in C: read lines, scan them, keep each name, sort, search by halves.
 * Takes a file of symbols, a file of addresses (64-bit words) and a number of turns; prints
 * nanoseconds for loading, and for one look-up.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct symbol {
	uint64_t addr;
	char *name;
};

static struct symbol *symbols;
static size_t count, room;

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

static int by_address(const void *one, const void *other)
{
	uint64_t a = ((const struct symbol *)one)->addr;
	uint64_t b = ((const struct symbol *)other)->addr;

	return a < b ? -1 : a > b;
}

static void load(const char *path)
{
	char line[1024], name[512], letter;
	FILE *file = fopen(path, "r");
	void *addr;

	if (!file) {
		perror(path);
		exit(1);
	}
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%p %c %511s", &addr, &letter, name) != 3)
			continue;
		if (count == room) {
			room = room ? room * 2 : 1024;
			symbols = realloc(symbols, room * sizeof(*symbols));
			if (!symbols)
				exit(1);
		}
		symbols[count].addr = (uintptr_t)addr;
		symbols[count++].name = strdup(name);
	}
	fclose(file);
	qsort(symbols, count, sizeof(*symbols), by_address);
}

static const struct symbol *lookup(uint64_t addr)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (symbols[middle].addr <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &symbols[low - 1] : NULL;
}

int main(int argc, char **argv)
{
	double load_ns = 1e18, lookup_ns = 1e18, begin;
	size_t addr_count = 0, letters = 0;
	uint64_t *addrs;
	FILE *file;

	if (argc != 4)
		return 2;
	file = fopen(argv[2], "rb");
	addrs = malloc(1 << 24);
	if (!file || !addrs)
		return 1;
	addr_count = fread(addrs, sizeof(*addrs), (1 << 24) / sizeof(*addrs), file);
	fclose(file);
	for (int turn = 0; turn < atoi(argv[3]); turn++) {
		for (size_t i = 0; i < count; i++)
			free(symbols[i].name);
		free(symbols);
		symbols = NULL;
		count = room = 0;
		begin = now_ns();
		load(argv[1]);
		if (now_ns() - begin < load_ns)
			load_ns = now_ns() - begin;
		begin = now_ns();
		for (size_t i = 0; i < addr_count; i++) {
			const struct symbol *found = lookup(addrs[i]);

			if (found)
				letters += strlen(found->name);
		}
		if (now_ns() - begin < lookup_ns)
			lookup_ns = now_ns() - begin;
	}
	printf("%.0f %.2f %zu\n", load_ns, lookup_ns / addr_count, letters);
	return 0;
}
