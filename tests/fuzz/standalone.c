/* SPDX-License-Identifier: BSD-3-Clause */
/* Gives a target the files of the folders named as arguments, one by one. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

static int run_file(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *data;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st)) {
		perror(name);
		return 1;
	}
	/* Of just this size, so that a read beyond it is seen. */
	data = malloc((size_t)st.st_size + !st.st_size);
	n = data ? read(fd, data, (size_t)st.st_size) : -1;
	close(fd);
	if (n != st.st_size) {
		fprintf(stderr, "%s: can't be read\n", name);
		free(data);
		return 1;
	}
	fprintf(stderr, "%s\n", name);
	LLVMFuzzerTestOneInput(data, (size_t)n);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	int failed = 0, files = 0;

	for (int i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		struct dirent *entry;

		if (!dir) {
			perror(argv[i]);
			return EXIT_FAILURE;
		}
		while ((entry = readdir(dir))) {
			if (entry->d_name[0] == '.')
				continue;
			failed += run_file(dirfd(dir), entry->d_name);
			files++;
		}
		closedir(dir);
	}
	if (!files)
		fprintf(stderr, "no inputs\n");
	return failed || !files ? EXIT_FAILURE : EXIT_SUCCESS;
}
