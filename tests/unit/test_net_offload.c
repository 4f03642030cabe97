/* SPDX-License-Identifier: BSD-3-Clause */
/* devices/net_offload.c: checksums and TCP segments made in software (virtio 1.3, 5.1.6.4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/net.h"
#include "frame.h"

/* Header flags and types (5.1.6), offloads (5.1.3). */
#define NEEDS_CSUM 1
#define DATA_VALID 2
#define GSO_TCPV4  1
#define GSO_UDP    3
#define GSO_TCPV6  4
#define GSO_ECN    0x80
#define CSUM       (1u << 1)
#define TSO4       (1u << 7)
#define TSO6       (1u << 8)
#define ECN        (1u << 9)

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* What came out, one frame after the other. */
struct got {
	uint32_t count;
	uint32_t used;
	struct {
		uint32_t at;
		uint32_t len;
	} out[10000];
	uint8_t data[1 << 20];
};

static uint8_t frame[FRAME_MAX];

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct got));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void collect(void *ctx, const struct net_frame *f)
{
	struct got *got = ctx;
	uint32_t len = 0;

	/* the header has nothing left to ask for */
	assert_int_equal(f->hdr.flags, 0);
	assert_int_equal(f->hdr.gso_type, 0);
	assert_int_equal(f->hdr.gso_size, 0);
	assert_int_equal(f->hdr.csum_start, 0);
	assert_true(got->count < COUNT(got->out));
	assert_true(got->used + f->len <= sizeof(got->data));
	got->out[got->count].at = got->used;
	got->out[got->count++].len = f->len;
	for (unsigned int i = 0; i < f->niov; i++) {
		memcpy(got->data + got->used, f->iov[i].iov_base, f->iov[i].iov_len);
		got->used += (uint32_t)f->iov[i].iov_len;
		len += (uint32_t)f->iov[i].iov_len;
	}
	assert_int_equal(len, f->len);
	/* what is looked at to forward it is in the first piece */
	assert_true(f->iov[0].iov_len >= (f->len < NET_HEAD ? f->len : NET_HEAD));
}

static const uint8_t *out(const struct got *got, uint32_t i)
{
	return got->data + got->out[i].at;
}

static void apply(struct got *got, const struct net_frame *f)
{
	int made = net_offload_apply(f, CSUM, collect, got);

	assert_true(made > 0);
	assert_int_equal(made, got->count);
}

static void forget(struct got *got)
{
	got->count = 0;
	got->used = 0;
}

static struct net_frame needs_csum(struct iovec *iov, uint32_t len, const struct frame_info *info)
{
	*iov = (struct iovec){ frame, len };
	return (struct net_frame){
		.hdr = {
			.flags = NEEDS_CSUM,
			.csum_start = htole16((uint16_t)info->l4),
			.csum_offset = htole16(frame_csum_offset(info)),
		},
		.iov = iov,
		.niov = 1,
		.len = len,
	};
}

/* A frame to be segmented; the headers are the same length in every segment. */
static struct net_frame needs_tso(struct iovec *iov, uint32_t len, const struct frame_info *info,
				  uint16_t mss)
{
	struct net_frame f = needs_csum(iov, len, info);

	f.hdr.gso_type = info->v6 ? GSO_TCPV6 : GSO_TCPV4;
	f.hdr.gso_size = htole16(mss);
	f.hdr.hdr_len = htole16((uint16_t)info->payload);
	return f;
}

/* --- what a receiver takes as it is --- */

static void test_5_1_6_4_what_fits(void **state)
{
	static const struct {
		uint8_t flags;
		uint8_t gso;
		uint32_t offloads;
		bool fits;
	} cases[] = {
		{ 0, 0, 0, true },
		{ 0, 0, CSUM | TSO4, true },
		{ NEEDS_CSUM, 0, 0, false },
		{ NEEDS_CSUM, 0, CSUM, true },
		{ NEEDS_CSUM, GSO_TCPV4, CSUM, false },
		{ NEEDS_CSUM, GSO_TCPV4, CSUM | TSO6, false },
		{ NEEDS_CSUM, GSO_TCPV4, CSUM | TSO4, true },
		{ NEEDS_CSUM, GSO_TCPV4, TSO4, false },
		{ NEEDS_CSUM, GSO_TCPV6, CSUM | TSO4, false },
		{ NEEDS_CSUM, GSO_TCPV6, CSUM | TSO6, true },
		{ NEEDS_CSUM, GSO_TCPV4 | GSO_ECN, CSUM | TSO4, false },
		{ NEEDS_CSUM, GSO_TCPV4 | GSO_ECN, CSUM | TSO4 | ECN, true },
		{ NEEDS_CSUM, GSO_TCPV6 | GSO_ECN, CSUM | TSO4 | ECN, false },
		{ NEEDS_CSUM, GSO_UDP, CSUM | TSO4 | TSO6 | ECN, false },
		/* a type of segmentation goes with NEEDS_CSUM only */
		{ 0, GSO_TCPV4, 0, false },
		{ 0, GSO_TCPV4, CSUM | TSO4, false },
		{ DATA_VALID, GSO_TCPV6, CSUM | TSO6, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct net_frame f = {
			.hdr = { .flags = cases[i].flags, .gso_type = cases[i].gso },
		};

		if (net_offload_fits(&f, cases[i].offloads) != cases[i].fits)
			fail_msg("case %zu", i);
	}
}

/* --- checksums --- */

static void test_5_1_6_4_a_checksum_is_completed(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 2, 3, 100, 1459, 1460, 9001 };
	struct got *got = *state;

	for (int kind = 0; kind < 8; kind++) {
		for (size_t i = 0; i < COUNT(sizes); i++) {
			struct frame_params p = {
				.v6 = kind & 1,
				.udp = kind & 2,
				.tagged = kind & 4,
				.vlan = 0x6123,
				.payload = sizes[i],
				.partial = true,
			};
			struct frame_info sent, info;
			struct iovec iov;
			uint32_t len = frame_make(frame, &p, &sent);
			struct net_frame f = needs_csum(&iov, len, &sent);

			assert_non_null(frame_check(frame, len, &info));
			apply(got, &f);
			assert_int_equal(got->count, 1);
			assert_int_equal(got->used, len);
			assert_null(frame_check(out(got, 0), len, &info));
			/* nothing else changed */
			frame[sent.l4 + frame_csum_offset(&sent)] = (uint8_t)(info.checksum >> 8);
			frame[sent.l4 + frame_csum_offset(&sent) + 1] = (uint8_t)info.checksum;
			assert_memory_equal(out(got, 0), frame, len);
			forget(got);
		}
	}
}

/* RFC 768: a checksum that comes out as 0 is sent as all ones; 0 says that there is none. */
static void test_a_udp_checksum_is_never_0(void **state)
{
	struct got *got = *state;

	for (int v6 = 0; v6 < 2; v6++) {
		struct frame_params p = { .udp = true, .v6 = v6, .payload = 2, .partial = true };
		struct frame_info sent, info;
		uint32_t len = frame_make(frame, &p, &sent);
		struct iovec iov;
		struct net_frame f = needs_csum(&iov, len, &sent);
		uint16_t missing;

		frame[sent.payload] = frame[sent.payload + 1] = 0;
		missing = (uint16_t)~frame_sum(0, frame + sent.l4, len - sent.l4);
		frame[sent.payload] = (uint8_t)(missing >> 8);
		frame[sent.payload + 1] = (uint8_t)missing;
		apply(got, &f);
		assert_int_equal(got->count, 1);
		assert_null(frame_check(out(got, 0), len, &info));
		assert_int_equal(info.checksum, 0xffff);
		forget(got);
	}
}

/* A frame lies in as many pieces as its sender made of it, cut anywhere. */
static void test_pieces_of_odd_lengths(void **state)
{
	static const uint32_t cuts[][4] = {
		{ 64, 1, 1, 1 }, { 65, 3, 7, 11 }, { 100, 1, 0, 999 }, { 1513, 1, 0, 0 }
	};
	struct frame_params p = { .payload = 1460, .partial = true };
	struct got *got = *state;

	for (size_t c = 0; c < COUNT(cuts); c++) {
		struct frame_info sent, info;
		uint32_t len = frame_make(frame, &p, &sent), at = 0;
		struct iovec iov[5];
		struct net_frame f = needs_csum(iov, len, &sent);

		for (unsigned int i = 0; i < 5; i++) {
			uint32_t n = i < 4 ? cuts[c][i] : len - at;

			/* each in an allocation of its own, for the sanitizer to see */
			iov[i].iov_base = malloc(n ? n : 1);
			iov[i].iov_len = n;
			memcpy(iov[i].iov_base, frame + at, n);
			at += n;
		}
		f.niov = 5;
		apply(got, &f);
		assert_int_equal(got->count, 1);
		assert_null(frame_check(out(got, 0), got->out[0].len, &info));
		assert_true(frame_payload_is(out(got, 0), &info, 0));
		for (unsigned int i = 0; i < 5; i++)
			free(iov[i].iov_base);
		forget(got);
	}
}

/* Whoever checked the header before: what is outside of the frame is left alone. */
static void test_a_checksum_outside_of_the_frame_is_refused(void **state)
{
	static const struct {
		uint16_t start;
		uint16_t offset;
	} bad[] = { { 100, 0 },    { 0, 99 },     { 99, 0 },         { 98, 1 },
		    { 0xffff, 2 }, { 2, 0xffff }, { 0xffff, 0xffff } };
	struct frame_info sent;
	struct frame_params p = { .payload = 46 };
	struct got *got = *state;
	struct iovec iov;

	assert_int_equal(frame_make(frame, &p, &sent), 100);
	for (size_t i = 0; i < COUNT(bad); i++) {
		uint8_t *copy = malloc(100);
		struct net_frame f = needs_csum(&iov, 100, &sent);

		memcpy(copy, frame, 100);
		iov.iov_base = copy;
		f.hdr.csum_start = htole16(bad[i].start);
		f.hdr.csum_offset = htole16(bad[i].offset);
		assert_int_equal(net_offload_apply(&f, 0, collect, got), -EINVAL);
		assert_int_equal(got->count, 0);
		free(copy);
	}
}

/* --- segments --- */

/* Everything that RFC 793, 791, 8200 and 3168 say of the segments of one frame. */
static void check_segments(struct got *got, const struct frame_params *p,
			   const struct frame_info *sent, uint16_t mss)
{
	uint32_t done = 0;

	assert_int_equal(got->count, p->payload ? (p->payload + mss - 1) / mss : 1);
	for (uint32_t i = 0; i < got->count; i++) {
		bool last = i + 1 == got->count;
		uint8_t flags = p->tcp_flags;
		struct frame_info info;
		const char *why = frame_check(out(got, i), got->out[i].len, &info);

		if (why)
			fail_msg("segment %u: %s", i, why);
		assert_memory_equal(out(got, i), frame, 12);
		assert_int_equal(info.tagged, p->tagged);
		assert_int_equal(info.vlan, p->tagged ? p->vlan : 0);
		assert_int_equal(info.l4, sent->l4);
		assert_int_equal(info.payload, sent->payload);
		assert_int_equal(info.len, last ? p->payload - done : mss);
		assert_int_equal(info.seq, (uint32_t)(p->seq + done));
		if (!p->v6)
			assert_int_equal(info.id, (uint16_t)(p->id + i));
		if (!last)
			flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
		if (i)
			flags &= (uint8_t)~TCP_CWR;
		assert_int_equal(info.tcp_flags, flags);
		assert_true(frame_payload_is(out(got, i), &info, done));
		/* the rest of the headers is the frame's: ports, acknowledgement, options */
		assert_memory_equal(out(got, i) + sent->l4, frame + sent->l4, 4);
		assert_memory_equal(out(got, i) + sent->l4 + 8, frame + sent->l4 + 8, 5);
		assert_memory_equal(out(got, i) + sent->l4 + 20, frame + sent->l4 + 20,
				    sent->payload - sent->l4 - 20);
		done += info.len;
	}
	assert_int_equal(done, p->payload);
}

static void test_5_1_6_4_a_frame_is_cut_into_segments(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 536, 1459, 1460, 1461, 2920, 2921, 30001, 65400 };
	static const uint16_t msss[] = { 8, 9, 536, 1447, 1460, 8960, 65400, 65535 };
	struct got *got = *state;

	for (int kind = 0; kind < 8; kind++) {
		for (size_t s = 0; s < COUNT(sizes); s++) {
			for (size_t m = 0; m < COUNT(msss); m++) {
				struct frame_params p = {
					.v6 = kind & 1,
					.tagged = kind & 2,
					.vlan = 0x0ffe,
					.ip_options = kind & 4 && !(kind & 1) ? 8 : 0,
					.tcp_options = kind & 4 ? 12 : 0,
					.payload = sizes[s],
					.seq = 0xfffff000,
					.id = 0xfffe,
					.tcp_flags =
						TCP_ACK | TCP_PSH | TCP_FIN | TCP_CWR | TCP_ECE,
					.partial = true,
				};
				struct frame_info sent;
				struct iovec iov;
				struct net_frame f;
				uint32_t len;

				if (sizes[s] / msss[m] > 4000)
					continue;
				len = frame_make(frame, &p, &sent);
				f = needs_tso(&iov, len, &sent, msss[m]);
				apply(got, &f);
				check_segments(got, &p, &sent, msss[m]);
				forget(got);
			}
		}
	}
}

/* hdr_len is a hint that may be wrong (5.1.6.2). */
static void test_5_1_6_2_hdr_len_is_not_relied_on(void **state)
{
	static const uint16_t lens[] = { 0, 1, 53, 55, 1000, 0xffff };
	struct frame_params p = { .payload = 3000, .tcp_flags = TCP_ACK, .partial = true };
	struct got *got = *state;

	for (size_t i = 0; i < COUNT(lens); i++) {
		struct frame_info sent;
		struct iovec iov;
		uint32_t len = frame_make(frame, &p, &sent);
		struct net_frame f = needs_tso(&iov, len, &sent, 1000);

		f.hdr.hdr_len = htole16(lens[i]);
		apply(got, &f);
		check_segments(got, &p, &sent, 1000);
		forget(got);
	}
}

/* The checksum that the sender left is not used: it may be complete. */
static void test_a_frame_with_a_complete_checksum_is_cut(void **state)
{
	struct frame_params p = { .payload = 3000, .tcp_flags = TCP_ACK };
	struct got *got = *state;
	struct frame_info sent;
	struct iovec iov;
	uint32_t len = frame_make(frame, &p, &sent);
	struct net_frame f = needs_tso(&iov, len, &sent, 1000);

	f.hdr.flags = DATA_VALID;
	apply(got, &f);
	check_segments(got, &p, &sent, 1000);
}

/* --- frames that can't be cut --- */

static void refused(struct got *got, struct net_frame *f)
{
	/* in an allocation as long as the frame, for the sanitizer to see what is read behind it */
	uint8_t *copy = malloc(f->len);
	struct iovec iov = { copy, f->len };

	memcpy(copy, frame, f->len);
	f->iov = &iov;
	assert_int_equal(net_offload_apply(f, CSUM, collect, got), -EINVAL);
	assert_int_equal(got->count, 0);
	free(copy);
}

static void test_frames_that_cannot_be_cut(void **state)
{
	struct got *got = *state;

	for (int kind = 0; kind < 4; kind++) {
		struct frame_params p = { .v6 = kind & 1, .tagged = kind & 2, .payload = 3000 };
		struct frame_info sent;
		struct iovec iov;
		uint32_t len = frame_make(frame, &p, &sent);
		struct net_frame f = needs_tso(&iov, len, &sent, 1000);
		uint32_t proto = sent.l3 + (p.v6 ? 6 : 9);

		/* the headers end before they should */
		for (f.len = 14; f.len < sent.payload; f.len++)
			refused(got, &f);
		f.len = len;
		/* no segment size */
		f.hdr.gso_size = 0;
		refused(got, &f);
		f.hdr.gso_size = htole16(1000);
		/* not TCP, not IP */
		frame[proto] = 17;
		refused(got, &f);
		frame[proto] = 0; /* IPv6: an extension header */
		refused(got, &f);
		frame[proto] = 6;
		frame[sent.l3 - 1]++;
		refused(got, &f);
		frame[sent.l3 - 1]--;
		/* headers that are too short, or longer than the frame */
		frame[sent.l4 + 12] = 4 << 4;
		refused(got, &f);
		frame[sent.l4 + 12] = 0;
		refused(got, &f);
		frame[sent.l4 + 12] = 15 << 4;
		f.len = sent.l4 + 59;
		refused(got, &f);
		frame[sent.l4 + 12] = 5 << 4;
		f.len = len;
		if (!p.v6) {
			frame[sent.l3] = 0x44;
			refused(got, &f);
			frame[sent.l3] = 0x40;
			refused(got, &f);
			frame[sent.l3] = 0x4f;
			f.len = sent.l3 + 60 + 19;
			refused(got, &f);
		}
	}
}

static void test_types_that_are_not_tcp_segmentation(void **state)
{
	static const uint8_t types[] = { 2, GSO_UDP, 5, 6, 0x20 | GSO_TCPV4, 0x40 | GSO_TCPV6 };
	struct frame_params p = { .payload = 3000 };
	struct got *got = *state;
	struct frame_info sent;
	struct iovec iov;
	uint32_t len = frame_make(frame, &p, &sent);
	struct net_frame f = needs_tso(&iov, len, &sent, 1000);

	for (size_t i = 0; i < COUNT(types); i++) {
		f.hdr.gso_type = types[i];
		refused(got, &f);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_5_1_6_4_what_fits),
		TEST(test_5_1_6_4_a_checksum_is_completed),
		TEST(test_a_udp_checksum_is_never_0),
		TEST(test_pieces_of_odd_lengths),
		TEST(test_a_checksum_outside_of_the_frame_is_refused),
		TEST(test_5_1_6_4_a_frame_is_cut_into_segments),
		TEST(test_5_1_6_2_hdr_len_is_not_relied_on),
		TEST(test_a_frame_with_a_complete_checksum_is_cut),
		TEST(test_frames_that_cannot_be_cut),
		TEST(test_types_that_are_not_tcp_segmentation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
