/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/verbs.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/array.h"
#include "cli/output.h"

#define END_MS 2000 /* how long to wait for ridged's process after its last answer */

/* Text is shown as it is, not escaped for JSON's sake. */
static void add_string(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, json_object_new_string(value));
}

void add_path(struct json_object *object, const char *key, const char *value)
{
	char cwd[PATH_MAX], *path;

	if (value[0] == '/' || !value[0] || !getcwd(cwd, sizeof(cwd)) ||
	    asprintf(&path, "%s/%s", cwd, value) < 0) {
		add_string(object, key, value);
		return;
	}
	add_string(object, key, path);
	free(path);
}

static int add_pairs(struct json_object *params, const struct command *cmd, int first,
		     const char *what, struct failure *f)
{
	for (int i = first; i < cmd->argc; i++) {
		char *equals = strchr(cmd->argv[i], '=');
		char key[64];

		if (!equals || equals == cmd->argv[i] ||
		    (size_t)(equals - cmd->argv[i]) >= sizeof(key)) {
			failure_set(f, EINVAL, "%s: %s: not a parameter; give key=value", what,
				    cmd->argv[i]);
			f->usage = true;
			return -1;
		}
		snprintf(key, sizeof(key), "%.*s", (int)(equals - cmd->argv[i]), cmd->argv[i]);
		if (json_object_object_get_ex(params, key, NULL)) {
			failure_set(f, EINVAL, "%s: %s is given twice; give it once", what, key);
			f->usage = true;
			return -1;
		}
		if (!strcmp(key, "image") || !strcmp(key, "vf_image"))
			add_path(params, key, equals + 1);
		else
			add_string(params, key, equals + 1);
	}
	return 0;
}

/* Calls and, when asked to with -j, shows the result; else leaves it to the verb. */
static int call(const struct command *cmd, const char *method, struct json_object *params,
		struct json_object **result, struct failure *f)
{
	if (client_call(cmd->runtime_dir, method, params, result, f))
		return -1;
	if (cmd->json)
		output_json(*result);
	return 0;
}

/* The same for a verb that shows nothing without -j. */
static int call_quietly(const struct command *cmd, const char *method, struct json_object *params,
			struct failure *f)
{
	struct json_object *result = NULL;

	if (call(cmd, method, params, &result, f))
		return -1;
	json_object_put(result);
	return 0;
}

/* The same with the key=value arguments from first on; what is before them was added to params. */
static int call_pairs(const struct command *cmd, const char *verb, const char *method,
		      struct json_object *params, int first, struct json_object **result,
		      struct failure *f)
{
	char what[192];

	snprintf(what, sizeof(what), "%s %s%s%s", verb, cmd->argv[0], first > 1 ? " " : "",
		 first > 1 ? cmd->argv[1] : "");
	if (add_pairs(params, cmd, first, what, f)) {
		json_object_put(params);
		return -1;
	}
	return call(cmd, method, params, result, f);
}

/* Parameters with the first argument as name. */
static struct json_object *named(const struct command *cmd)
{
	struct json_object *params = json_object_new_object();

	add_string(params, "name", cmd->argv[0]);
	return params;
}

static int run_create(const struct command *cmd, struct failure *f)
{
	struct json_object *params, *result = NULL;

	if (cmd->batch)
		return run_create_batch(cmd, f);
	params = json_object_new_object();
	add_string(params, "type", cmd->argv[0]);
	add_string(params, "name", cmd->argv[1]);
	if (call_pairs(cmd, "create", "function.create", params, 2, &result, f))
		return -1;
	if (!cmd->json)
		output_made(result);
	json_object_put(result);
	return 0;
}

static int run_destroy(const struct command *cmd, struct failure *f)
{
	struct json_object *params = json_object_new_object();
	struct json_object *names = json_object_new_array();

	for (int i = 0; i < cmd->argc; i++)
		json_object_array_add(names, json_object_new_string(cmd->argv[i]));
	json_object_object_add(params, "names", names);
	json_object_object_add(params, "force", json_object_new_boolean(cmd->force));
	return call_quietly(cmd, "function.destroy", params, f);
}

static int run_list(const struct command *cmd, struct failure *f)
{
	static const struct column columns[] = {
		{ "NAME", "name" },     { "TYPE", "type" },     { "RID", "rid" },
		{ "PF", "pf" },         { "DRIVER", "driver" }, { "STATE", "state" },
		{ "SOCKET", "socket" },
	};
	struct json_object *result = NULL;

	if (call(cmd, "function.list", NULL, &result, f))
		return -1;
	if (!cmd->json)
		output_table(result, columns, ARRAY_LEN(columns));
	json_object_put(result);
	return 0;
}

/* The function of that name, or the PF. */
static int show_any(const struct command *cmd, const char *name, struct json_object **result,
		    struct failure *f)
{
	struct json_object *params = json_object_new_object(), *pfs = NULL;
	struct failure none = { 0 };

	add_string(params, "name", name);
	if (!client_call(cmd->runtime_dir, "function.show", params, result, f))
		return 0;
	if (strcmp(f->symbol, "ENOENT") != 0 ||
	    client_call(cmd->runtime_dir, "pf.list", NULL, &pfs, &none)) {
		json_object_put(none.data);
		return -1;
	}
	for (size_t i = 0; i < json_object_array_length(pfs) && !*result; i++) {
		struct json_object *pf = json_object_array_get_idx(pfs, i);

		if (!strcmp(output_member(pf, "name"), name))
			*result = json_object_get(pf);
	}
	json_object_put(pfs);
	if (!*result)
		return -1;
	json_object_put(f->data);
	*f = none;
	return 0;
}

static int run_show(const struct command *cmd, struct failure *f)
{
	struct json_object *result = NULL;

	if (show_any(cmd, cmd->argv[0], &result, f))
		return -1;
	if (cmd->json)
		output_json(result);
	else
		output_object(result);
	json_object_put(result);
	return 0;
}

static int run_bind(const struct command *cmd, struct failure *f)
{
	struct json_object *params = named(cmd), *result = NULL;
	const char *socket;

	add_string(params, "driver", cmd->argv[1]);
	if (call(cmd, "function.bind", params, &result, f))
		return -1;
	socket = output_member(result, "socket");
	if (!cmd->json)
		printf("%s: driver %s%s%s\n", output_member(result, "name"),
		       output_member(result, "driver"), socket ? ", socket " : "",
		       socket ? socket : "");
	json_object_put(result);
	return 0;
}

static int run_set(const struct command *cmd, struct failure *f)
{
	struct json_object *result = NULL;

	if (call_pairs(cmd, "set", "function.set", named(cmd), 1, &result, f))
		return -1;
	json_object_put(result);
	return 0;
}

static int run_pf_add(const struct command *cmd, struct failure *f)
{
	struct json_object *result = NULL;

	if (call_pairs(cmd, "pf add", "pf.add", named(cmd), 1, &result, f))
		return -1;
	if (!cmd->json)
		printf("%s: PF of type %s, %s, pid %s\n", output_member(result, "name"),
		       output_member(result, "type"), output_member(result, "rid"),
		       output_member(result, "pid"));
	json_object_put(result);
	return 0;
}

static int run_pf_list(const struct command *cmd, struct failure *f)
{
	static const struct column columns[] = {
		{ "NAME", "name" },   { "TYPE", "type" },           { "RID", "rid" },
		{ "PID", "pid" },     { "FUNCTIONS", "functions" }, { "MAX_VFS", "max_vfs" },
		{ "STATE", "state" }, { "TEXT", "text" },
	};
	struct json_object *result = NULL;

	if (call(cmd, "pf.list", NULL, &result, f))
		return -1;
	if (!cmd->json)
		output_table(result, columns, ARRAY_LEN(columns));
	json_object_put(result);
	return 0;
}

static int run_pf_restart(const struct command *cmd, struct failure *f)
{
	return call_quietly(cmd, "pf.restart", named(cmd), f);
}

static int run_pf_remove(const struct command *cmd, struct failure *f)
{
	return call_quietly(cmd, "pf.remove", named(cmd), f);
}

static int run_export(const struct command *cmd, struct failure *f)
{
	struct json_object *result = NULL;

	if (call_pairs(cmd, "export", "pf.export", named(cmd), 1, &result, f))
		return -1;
	if (!cmd->json)
		printf("%s: exported, socket %s\n", output_member(result, "name"),
		       output_member(result, "socket"));
	json_object_put(result);
	return 0;
}

static int run_unexport(const struct command *cmd, struct failure *f)
{
	struct json_object *params = named(cmd);

	json_object_object_add(params, "force", json_object_new_boolean(cmd->force));
	return call_quietly(cmd, "pf.unexport", params, f);
}

/* Without spaces, so that the shell makes two words of it and no more. */
static int run_qemu_args(const struct command *cmd, struct failure *f)
{
	struct json_object *result = NULL, *device, *socket, *args;
	const char *path, *text;

	if (show_any(cmd, cmd->argv[0], &result, f))
		return -1;
	path = output_member(result, "socket");
	if (!path && !output_member(result, "driver")) {
		failure_set(f, EINVAL, "qemu-args %s: the PF is local; export it first",
			    cmd->argv[0]);
		json_object_put(result);
		return -1;
	}
	if (!path) {
		failure_set(
			f, EINVAL,
			"qemu-args %s: driver %s has no socket for a VMM; bind it to vfio-pci or "
			"virtio-vfio-pci",
			cmd->argv[0], output_member(result, "driver"));
		json_object_put(result);
		return -1;
	}
	device = json_object_new_object();
	socket = json_object_new_object();
	add_string(device, "driver", "vfio-user-pci");
	add_string(socket, "path", path);
	add_string(socket, "type", "unix");
	json_object_object_add(device, "socket", socket);
	text = json_object_to_json_string_ext(device, JSON_C_TO_STRING_PLAIN |
							      JSON_C_TO_STRING_NOSLASHESCAPE);
	if (cmd->json) {
		args = json_object_new_array();
		json_object_array_add(args, json_object_new_string("-device"));
		json_object_array_add(args, json_object_new_string(text));
		output_json(args);
		json_object_put(args);
	} else {
		printf("-device %s\n", text);
	}
	json_object_put(device);
	json_object_put(result);
	return 0;
}

/* Its answer is the last but one thing that ridged does. */
static void wait_for_end(pid_t pid)
{
	struct pollfd end = { .fd = pidfd_open(pid, 0), .events = POLLIN };

	if (end.fd < 0)
		return;
	poll(&end, 1, END_MS);
	close(end.fd);
}

static int run_shutdown(const struct command *cmd, struct failure *f)
{
	struct json_object *result = NULL;

	if (call(cmd, "system.shutdown", NULL, &result, f))
		return -1;
	if (output_member(result, "pid"))
		wait_for_end(atoi(output_member(result, "pid")));
	json_object_put(result);
	return 0;
}

#ifdef RIDGE_FAULTS
static int run_debug_fault(const struct command *cmd, struct failure *f)
{
	struct json_object *params = named(cmd);

	add_string(params, "kind", cmd->argv[1]);
	add_string(params, "value", cmd->argv[2]);
	return call_quietly(cmd, "debug.fault", params, f);
}
#endif

const struct verb verb_table[] = {
	{ "create", "{ TYPE NAME [ KEY=VALUE ... ] | --batch FILE }",
	  "make a function and attach it to a driver, or many at once",
	  "TYPE    blk  a disk: image=PATH\n"
	  "        net  a network interface\n"
	  "        rng  random numbers\n"
	  "\n"
	  "Keys for all types:\n"
	  "  driver=DRIVER       vfio-pci (default): the modern function as it is, for a VMM\n"
	  "                      virtio-vfio-pci: transitional, so that old guests can use it, too\n"
	  "                      none: no driver\n"
	  "  pf=PF               the PF to take a slot of (default: the first of the type that has\n"
	  "                      one free; a new one if there is none of the type)\n"
	  "  slot=N              this slot (default: the lowest that is free)\n"
	  "  queues=N            number of virtqueues for requests: 1 to 64 for blk, 1 for rng; of\n"
	  "                      queue pairs for net: 1 to 32 (default: 1)\n"
	  "  queue_size=N        entries per virtqueue, a power of two from 2 to 1024 (default: 256;\n"
	  "                      64 for rng)\n"
	  "  packed=true         offer packed virtqueues\n"
	  "  owner=USER group=GROUP mode=MODE\n"
	  "                      of the socket (default: ridged's own, 0600)\n"
	  "Keys for blk:\n"
	  "  image=PATH          a raw image file or a block device\n"
	  "  readonly=true       the guest cannot write; other readers may use the image\n"
	  "  serial=TEXT         up to 20 characters (default: NAME)\n"
	  "  direct=true         bypass the host's page cache\n"
	  "  share=true          do not lock the image: its other users are coordinated\n"
	  "Keys for net:\n"
	  "  mac=ADDRESS         (default: made up, the same for this name every time)\n"
	  "  mtu=BYTES           what the guest is told, 68 to 65535 (default: nothing)\n"
	  "  backend=switch      the PF's switch (default)\n"
	  "  backend=tap:IFNAME  a TAP of the host, made if it is not there\n"
	  "  trust=true          the guest may send from other addresses than its own\n"
	  "  link=up|down        at first (default: up)\n"
	  "Keys for driver virtio-vfio-pci:\n"
	  "  legacy=auto|only    only: hide the modern interface, so that any guest uses the old\n"
	  "\n"
	  "Booleans are true or false; sizes take K, M, G. Creating what exists with the same\n"
	  "parameters succeeds and changes nothing.\n"
	  "\n"
	  "--batch FILE makes all functions of a JSON array of objects, or none of them, as in\n"
	  "  [{\"type\": \"blk\", \"name\": \"disk0\", \"image\": \"disk0.img\", \"queues\": 2},\n"
	  "   {\"type\": \"net\", \"name\": \"net0\"}]\n"
	  "FILE - is standard input. Errors count the entries from 0.\n",
	  2, -1, false, true, run_create },
	{ "destroy", "NAME ... [ --force ]", "end functions",
	  "  --force    although a VMM is connected; its guest loses the device\n", 1, -1, true,
	  false, run_destroy },
	{ "list", "", "list functions", NULL, 0, 0, false, false, run_list },
	{ "show", "NAME", "show all about a function or a PF; counters that are 0 are left out",
	  NULL, 1, 1, false, false, run_show },
	{ "bind", "NAME DRIVER", "attach a function to another driver",
	  "DRIVER is vfio-pci, virtio-vfio-pci or none. When the new driver refuses, the function\n"
	  "stays with the old one.\n",
	  2, 2, false, false, run_bind },
	{ "set", "NAME KEY=VALUE ...", "change a function while it is in use",
	  "Keys for blk:\n"
	  "  size=BYTES|image    the disk's size: so many bytes (K, M, G) of an image that has grown,\n"
	  "                      or all that it has\n"
	  "Keys for net:\n"
	  "  link=up|down\n"
	  "\n"
	  "All are checked before anything is changed.\n",
	  2, -1, false, false, run_set },
	{ "stats", "[ NAME ... ]", "show what functions and their PFs have counted",
	  "Columns that are 0 for all are left out; -j shows every counter by itself. ACCESSES are\n"
	  "those of the VMM to configuration space and BARs, ADMIN the commands that the driver gave\n"
	  "to the PF, DROPS frames of net with the reasons.\n",
	  0, -1, false, false, run_stats },
	{ "monitor", "", "print what happens, as it happens",
	  "A line for each event until it is interrupted, or ridged ends; with -j an object in a line.\n"
	  "Events are\n"
	  "  function.{created,destroyed,bound,set,attached,detached,faulted,restarted,down}\n"
	  "  pf.{added,removed,died,restarted,held,exported,unexported,attached,detached}\n"
	  "  dropped: you read too slowly; it is the last\n",
	  0, 0, false, false, run_monitor },
	{ "pf add", "NAME type=TYPE [ KEY=VALUE ... ]", "start a PF, whose slots functions take",
	  "  type=TYPE          blk, net or rng\n"
	  "  max_vfs=N          number of slots, 1 to 4094 (default 255)\n"
	  "  uplink=tap:IFNAME  net: a TAP that the PF's switch is connected to\n"
	  "For the device that the PF itself is to a Linux host (see export), and VFs that the host\n"
	  "enables in bulk:\n"
	  "  image=PATH         blk: a raw image file or a block device\n"
	  "  mac=ADDRESS        net (default: made up); a VF's is derived from its RID\n"
	  "  vf_image=PATH      blk: a raw image file for each VF, made when it is used first; %n is\n"
	  "                     its number\n"
	  "  vf_size=BYTES      blk: how large that is (K, M, G)\n",
	  1, -1, false, false, run_pf_add },
	{ "pf list", "", "list PFs", NULL, 0, 0, false, false, run_pf_list },
	{ "pf remove", "NAME", "end a PF that has no functions", NULL, 1, 1, false, false,
	  run_pf_remove },
	{ "pf restart", "NAME", "start a PF again that is held, and its functions that are down",
	  "A PF process that died is started again by itself, and its functions with it; one that\n"
	  "dies three times in 30 s is held, until this, or until it is removed.\n",
	  1, 1, false, false, run_pf_restart },
	{ "export", "PF [ KEY=VALUE ... ]",
	  "give a PF and all its functions to a Linux host in a VM, as a PCI domain",
	  "  owner=USER group=GROUP mode=MODE\n"
	  "              of the socket (default: ridged's own, 0600)\n"
	  "\n"
	  "The socket is one vfio-user device, an Intel VMD, of which Linux's vmd driver makes the\n"
	  "PCI domain. No function of the PF may have a driver here meanwhile. When the VMM ends, the\n"
	  "PF is reset and as before, and the socket is gone.\n",
	  1, -1, false, false, run_export },
	{ "unexport", "PF [ --force ]", "end the export of a PF",
	  "  --force    although a VMM is connected; its guest loses the devices\n", 1, 1, true,
	  false, run_unexport },
	{ "qemu-args", "NAME", "print the QEMU arguments that plug a function or exported PF in",
	  "As in: qemu-system-x86_64 ... $(ridge qemu-args disk0)\n", 1, 1, false, false,
	  run_qemu_args },
	{ "host adopt", "RID ... DRIVER [ --force ]",
	  "take PCI functions of this machine straight to a driver",
	  "RID is [DDDD:]BB:DD.F, DRIVER any driver of the kernel, such as vfio-pci. No other driver\n"
	  "probes them on the way: driver_override is set, and a function that is not there yet\n"
	  "appears with autoprobe off, a VF by enabling those of its PF, others by a rescan. One that\n"
	  "another driver has is unbound from it. This needs root, and no ridged.\n"
	  "\n"
	  "  --force    although a process has it open through VFIO; the kernel waits for that\n",
	  2, -1, true, false, run_host_adopt },
	{ "host release", "RID ... [ --force ]", "put back what host adopt has changed",
	  "The driver that had the function before gets it again, driver_override is what it was, and\n"
	  "VFs that host adopt has enabled go with the last of them.\n"
	  "\n"
	  "  --force    although a process has it open through VFIO; the kernel waits for that\n",
	  1, -1, true, false, run_host_release },
	{ "shutdown", "", "end all functions, all PFs and ridged", NULL, 0, 0, false, false,
	  run_shutdown },
#ifdef RIDGE_FAULTS
	{ "debug fault", "NAME KIND VALUE", NULL, NULL, 3, 3, false, false, run_debug_fault },
#endif
};

const unsigned verb_count = ARRAY_LEN(verb_table);
