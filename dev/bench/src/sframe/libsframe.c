/* Looks instructions up with libsframe: libsframe-find SECTION ADDRESS PCS RUNS. Prints nanoseconds for each and how many were found. */
#include <sframe-api.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static char *slurp(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	if (!file || fseek(file, 0, SEEK_END))
		exit(2);
	*size = (size_t)ftell(file);
	rewind(file);
	char *bytes = malloc(*size);
	if (!bytes || fread(bytes, 1, *size, file) != *size)
		exit(2);
	fclose(file);
	return bytes;
}

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	size_t section_size, pcs_size;
	char *section = slurp(argv[1], &section_size);
	uint64_t address = strtoull(argv[2], NULL, 0);
	uint64_t *pcs = (uint64_t *)slurp(argv[3], &pcs_size);
	size_t count = pcs_size / sizeof(*pcs), found = 0;
	int error = 0;
	sframe_decoder_ctx *decoder = sframe_decode(section, section_size, &error);
	if (!decoder)
		return 3;
	double least = 1e30;
	for (long run = 0; run < atol(argv[4]); run++) {
		double before = now();
		found = 0;
		for (size_t at = 0; at < count; at++) {
			sframe_frame_row_entry row;
			found += sframe_find_fre(decoder, (int64_t)(pcs[at] - address), &row) == 0;
		}
		double took = now() - before;
		least = took < least ? took : least;
	}
	printf("%f %zu\n", least / (double)count, found);
	return 0;
}
