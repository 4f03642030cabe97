/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/host.h"

/* One hexadecimal number of min to max digits and the character after it. */
static int parse_part(const char **text, unsigned max_digits, char end, uint32_t limit,
		      uint32_t *value)
{
	const char *p = *text;
	unsigned digits = 0;

	for (*value = 0; isxdigit((unsigned char)*p) && digits < max_digits; p++, digits++)
		*value = *value << 4 | (uint32_t)(*p <= '9' ? *p - '0' : (*p | 0x20) - 'a' + 10);
	if (!digits || *p != end || *value > limit)
		return -EINVAL;
	*text = end ? p + 1 : p;
	return 0;
}

int host_rid_parse(const char *text, struct host_rid *rid)
{
	const char *p = text;
	uint32_t bus, device, function;

	/* Two colons, or a domain of 0 */
	rid->domain = 0;
	if (parse_part(&p, 8, ':', UINT32_MAX, &rid->domain))
		return -EINVAL;
	if (parse_part(&p, 2, ':', 0xff, &bus)) {
		p = text;
		rid->domain = 0;
		if (parse_part(&p, 2, ':', 0xff, &bus))
			return -EINVAL;
	}
	if (parse_part(&p, 2, '.', 0x1f, &device) || parse_part(&p, 1, '\0', 7, &function))
		return -EINVAL;
	rid->bus = (uint8_t)bus;
	rid->devfn = (uint8_t)(device << 3 | function);
	return 0;
}

void host_rid_print(const struct host_rid *rid, char text[HOST_RID_MAX])
{
	snprintf(text, HOST_RID_MAX, "%04x:%02x:%02x.%x", rid->domain, rid->bus, rid->devfn >> 3,
		 rid->devfn & 7);
}
