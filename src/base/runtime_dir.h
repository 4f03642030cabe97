/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where ridged and its clients meet if nobody says otherwise: its runtime directory.
 */
#ifndef RIDGE_BASE_RUNTIME_DIR_H
#define RIDGE_BASE_RUNTIME_DIR_H

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Writes the directory to path: dir, or if that is NULL $RIDGE_RUNTIME_DIR, or if that is empty
 * /run/ridge for root and $XDG_RUNTIME_DIR/ridge for others. Returns 0 or a negative errno, of
 * which runtime_dir_wrong() says what to do.
 */
static inline int runtime_dir(const char *dir, char *path, size_t size)
{
	const char *sub = "";

	if (!dir)
		dir = getenv("RIDGE_RUNTIME_DIR");
	if ((!dir || !dir[0]) && geteuid() == 0)
		dir = "/run/ridge";
	if (!dir || !dir[0]) {
		dir = getenv("XDG_RUNTIME_DIR");
		sub = "/ridge";
	}
	if (!dir || !dir[0])
		return -ENOENT;
	return snprintf(path, size, "%s%s", dir, sub) < (int)size ? 0 : -ENAMETOOLONG;
}

static inline const char *runtime_dir_wrong(int err)
{
	return err == -ENOENT ? "no runtime directory: XDG_RUNTIME_DIR is not set; give "
				"--runtime-dir or set RIDGE_RUNTIME_DIR"
			      : "the path of the runtime directory is too long; give a shorter one";
}

#endif
