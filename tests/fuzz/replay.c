/* main() of a fuzz target that is built without libFuzzer: gives it every file of the folders named, and what remains
 * of each when it is cut in half. Options (libFuzzer's) are ignored. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "tests/fuzz/fuzz.h"

static void give(const uint8_t *data, size_t size) {
	uint8_t *copy = malloc(size ? size : 1); /* of the exact size: ASan sees a read past it */

	if (!copy)
		abort();
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static int replay(const char *folder) {
	DIR *directory = opendir(folder);
	struct dirent *entry;
	int n = 0;

	if (!directory) {
		perror(folder);
		exit(1);
	}
	while ((entry = readdir(directory))) {
		struct jf_error err;
		char path[4096];
		uint8_t *data;
		size_t size;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (jf_file_read(&data, &size, path, 1 << 24, &err)) {
			fprintf(stderr, "%s\n", err.message);
			exit(1);
		}
		give(data, size);
		give(data, size / 2);
		free(data);
		n++;
	}
	closedir(directory);
	return n;
}

int main(int argc, char **argv) {
	int n = 0;

	for (int i = 1; i < argc; i++)
		if (argv[i][0] != '-')
			n += replay(argv[i]);
	printf("%d inputs replayed\n", n);
	return 0;
}
