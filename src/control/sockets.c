/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/sockets.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) == SOCKET_PATH_MAX, "sun_path");

static int address_fill(struct sockaddr_un *address, const char *path)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	memcpy(address->sun_path, path, strlen(path));
	return 0;
}

static int bind_error(const char *path, int err, struct error *e)
{
	if (err == EADDRINUSE)
		return error_set(
			e, EEXIST,
			"%s exists; it may belong to a function of an unresponsive PF, else "
			"remove it",
			path);
	return error_set(e, err, "%s: %s", path, strerror(err));
}

int socket_listen(const char *path, int type, int backlog, const struct socket_access *access,
		  int *out, struct error *e)
{
	bool give_away = access->uid != (uid_t)-1 || access->gid != (gid_t)-1;
	struct sockaddr_un address;
	fd_auto int fd = -1;
	int err;

	if (address_fill(&address, path))
		return error_set(
			e, ENAMETOOLONG,
			"%s: %zu characters are too long for a socket (at most %d); give a "
			"shorter name or runtime directory",
			path, strlen(path), SOCKET_PATH_MAX - 1);
	fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(e, errno, "a socket: %s", strerror(errno));
	/* Its name gets the mode it has, also where a default ACL takes the umask's place. */
	if (fchmod(fd, SOCKET_MODE))
		return error_set(e, errno, "a socket: %s", strerror(errno));
	/* With the umask that ridged has, only its own user can get in at first. */
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return bind_error(path, errno, e);
	/* The mode comes last: until then nobody but the new owner can get in. */
	if ((give_away && lchown(path, access->uid, access->gid)) ||
	    ((give_away || access->mode != SOCKET_MODE) && chmod(path, access->mode))) {
		err = errno;
		unlink(path);
		return error_set(e, err, "owner, group or mode of %s: %s%s", path, strerror(err),
				 err == EPERM ? "; run ridged as root, or leave them out" : "");
	}
	if (listen(fd, backlog)) {
		err = errno;
		unlink(path);
		return error_set(e, err, "%s: %s", path, strerror(err));
	}
	*out = fd_take(&fd);
	return 0;
}

bool socket_listening(const char *path)
{
	FILE *list = fopen("/proc/net/unix", "re");
	char *line = NULL;
	bool found = false;
	size_t size = 0;

	while (list && !found && getline(&line, &size, list) > 0) {
		char *name = strchr(line, '/');

		line[strcspn(line, "\n")] = '\0';
		found = name && !strcmp(name, path);
	}
	free(line);
	if (list)
		fclose(list);
	return found;
}

int socket_connect(const char *path, int type, int *out)
{
	struct sockaddr_un address;
	fd_auto int fd = -1;
	int err = address_fill(&address, path);

	if (err)
		return err;
	fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return -errno;
	*out = fd_take(&fd);
	return 0;
}

static int account_number(const char *text, unsigned *number)
{
	unsigned long value;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -ENOENT;
	errno = 0;
	value = strtoul(text, &end, 10);
	/* The highest number means "no change" to chown(). */
	if (*end || errno || value >= (uid_t)-1)
		return -ENOENT;
	*number = (unsigned)value;
	return 0;
}

static int find_user(const char *text, uid_t *uid, struct error *e)
{
	struct passwd *pw = getpwnam(text);

	if (!pw && account_number(text, uid))
		return error_set(e, ENOENT, "there is no user %s; give a user's name or number",
				 text);
	if (pw)
		*uid = pw->pw_uid;
	return 0;
}

int socket_group(const char *text, gid_t *gid, struct error *e)
{
	struct group *gr = getgrnam(text);

	if (!gr && account_number(text, gid))
		return error_set(e, ENOENT, "there is no group %s; give a group's name or number",
				 text);
	if (gr)
		*gid = gr->gr_gid;
	return 0;
}

int socket_access_parse(const char *owner, const char *group, const char *mode,
			struct socket_access *access, struct error *e)
{
	int err = 0;

	*access = (struct socket_access){ (uid_t)-1, (gid_t)-1,
					  mode ? (mode_t)strtoul(mode, NULL, 8) : 0600 };
	if (owner)
		err = find_user(owner, &access->uid, e);
	if (!err && group)
		err = socket_group(group, &access->gid, e);
	return err;
}
