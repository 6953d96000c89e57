/*
 * The floor: reads one trace and makes the pairs that virtap makes, as directly as C can, on one thread.
 *
 *     cc -O3 -march=native -o floor bench/floor.c && ./floor FILE
 *
 * perf.data (uncompressed) and trace.dat (version 6, uncompressed): VM exits by reason, one line each: code, count, total, min
 * and max in ns. simpletrace version 4: virtqueue elements: pairs, total, min, max, and how many are open at the end.
 * It trusts its input, knows only little-endian machines, and gives up on what the files in bench/ do not have.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

static u16 get16(const u8 *p) { u16 v; memcpy(&v, p, 2); return v; }
static u32 get32(const u8 *p) { u32 v; memcpy(&v, p, 4); return v; }
static u64 get64(const u8 *p) { u64 v; memcpy(&v, p, 8); return v; }

static _Noreturn void fail(const char *why)
{
	fprintf(stderr, "floor: %s\n", why);
	exit(1);
}

/* Statistics of spans. */
struct stats { u64 count, total, min, max; };

static void add(struct stats *s, u64 duration)
{
	if (s->count++ == 0 || duration < s->min)
		s->min = duration;
	if (duration > s->max)
		s->max = duration;
	s->total += duration;
}

/* VM exits: the open exit of each thread, and statistics by reason. */
#define MAX_TID (1 << 22)
#define MAX_REASON 4096
static u64 *open_time;
static u32 *open_reason;
static struct stats reasons[MAX_REASON + 1];
static u64 events;

static void kvm_exit(u32 tid, u64 time, u32 reason)
{
	open_time[tid & (MAX_TID - 1)] = time;
	open_reason[tid & (MAX_TID - 1)] = reason;
}

static void kvm_entry(u32 tid, u64 time)
{
	u32 i = tid & (MAX_TID - 1);

	if (open_time[i] == 0)
		return;
	add(&reasons[open_reason[i] < MAX_REASON ? open_reason[i] : MAX_REASON], time - open_time[i]);
	open_time[i] = 0;
}

static void print_exits(void)
{
	for (u32 r = 0; r <= MAX_REASON; r++)
		if (reasons[r].count)
			printf("exit %u %lu %lu %lu %lu\n", r, reasons[r].count, reasons[r].total, reasons[r].min, reasons[r].max);
	printf("events %lu\n", events);
}

/* The kernel's event formats stand as text in both files. */
static int id_entry, id_exit, reason_at;

static const u8 *event_format(const u8 *file, size_t size, const char *name)
{
	char head[64];
	int length = snprintf(head, sizeof head, "name: %s\nID: ", name);
	const u8 *p = memmem(file, size, head, length);

	if (!p)
		fail("no format of kvm events");
	return p + length;
}

static void read_formats(const u8 *file, size_t size)
{
	const char *text = (const char *)event_format(file, size, "kvm_entry");

	id_entry = atoi(text);
	text = (const char *)event_format(file, size, "kvm_exit");
	id_exit = atoi(text);
	text = strstr(text, " exit_reason;\toffset:");
	if (!text)
		fail("no exit_reason");
	reason_at = atoi(text + strlen(" exit_reason;\toffset:"));
	open_time = calloc(MAX_TID, sizeof *open_time);
	open_reason = calloc(MAX_TID, sizeof *open_reason);
}

/* One entry (reason -1) or exit, waiting for its turn. */
struct event { u64 time; u32 tid; u32 reason; };
struct queue { struct event *at; size_t first, count, room; };
#define MAX_CPUS 1024
static struct queue queues[MAX_CPUS];
static u32 cpus;

static void push(u32 cpu, u64 time, u32 tid, u32 reason)
{
	struct queue *q = &queues[cpu];

	if (cpu >= MAX_CPUS)
		fail("more CPUs than expected");
	if (cpu >= cpus)
		cpus = cpu + 1;
	if (q->count == q->room) {
		q->room = q->room ? 2 * q->room : 4096;
		q->at = realloc(q->at, q->room * sizeof *q->at);
	}
	q->at[q->count++] = (struct event){ time, tid, reason };
}

/* Takes what is queued, in time order, up to a bound. */
static void take(u64 bound)
{
	for (;;) {
		struct queue *best = NULL;
		u64 time = bound, next = bound;

		for (u32 c = 0; c < cpus; c++) {
			struct queue *q = &queues[c];
			if (q->first == q->count)
				continue;
			u64 t = q->at[q->first].time;
			if (t > bound)
				continue;
			if (!best || t < time) {
				next = best ? time : next;
				time = t;
				best = q;
			} else if (t < next)
				next = t;
		}
		if (!best)
			break;
		do {
			struct event *e = &best->at[best->first++];
			if (e->reason == (u32)-1)
				kvm_entry(e->tid, e->time);
			else
				kvm_exit(e->tid, e->time, e->reason);
		} while (best->first < best->count && best->at[best->first].time <= next);
	}
	for (u32 c = 0; c < cpus; c++) {
		struct queue *q = &queues[c];
		memmove(q->at, q->at + q->first, (q->count - q->first) * sizeof *q->at);
		q->count -= q->first;
		q->first = 0;
	}
}

static void perf_data(const u8 *file)
{
	u64 attr_size = get64(file + 16), attrs = get64(file + 24), attrs_end = attrs + get64(file + 32);
	const u8 *p = file + get64(file + 40), *end = p + get64(file + 48);
	u64 round = 0, newest = 0;
	u64 type = get64(file + attrs + 24);

	/* TIME, TID, CPU, RAW and IDENTIFIER, and fields of fixed size only; the last attribute may lack the RAW. */
	for (u64 a = attrs; a + attr_size < attrs_end; a += attr_size)
		if (get64(file + a + 24) != type)
			fail("events with different samples");
	if ((type & 0x10486) != 0x10486 || (type & ~0x105cfull))
		fail("samples of an unexpected shape");
	u32 tid_at = 8 + 8 + (type & 1 ? 8 : 0) + 4, time_at = tid_at + 4, cpu_at = time_at + 8;
	cpu_at += (type & 8 ? 8 : 0) + (type & 0x40 ? 8 : 0);
	u32 raw_at = cpu_at + 8 + (type & 0x100 ? 8 : 0) + 4;

	while (p < end) {
		u32 kind = get32(p), size = get16(p + 6);

		if (kind == 9) {
			u32 id = get16(p + raw_at);

			events++;
			if (id == (u32)id_exit || id == (u32)id_entry) {
				u64 time = get64(p + time_at);
				if (time > newest)
					newest = time;
				push(get32(p + cpu_at), time, get32(p + tid_at), id == (u32)id_entry ? (u32)-1 : get32(p + raw_at + reason_at));
			}
		} else if (kind == 81 || kind == 83) {
			fail("compressed records");
		} else if (kind == 68) {
			/* A round ends: what the round before it had seen can have no older events any more. */
			take(round);
			round = newest;
		}
		p += size;
	}
	take(UINT64_MAX);
	print_exits();
}

/* A CPU's ring-buffer pages, standing before its next entry or exit. */
struct cursor { const u8 *page, *last, *at, *end; u64 page_time, time; const u8 *event; };

/* Moves to the next entry or exit. */
static void advance(struct cursor *c)
{
	for (;;) {
		if (c->at >= c->end) {
			if (c->page == c->last) {
				c->event = NULL;
				c->time = UINT64_MAX;
				return;
			}
			c->time = get64(c->page);
			c->at = c->page + 16;
			c->end = c->at + (get32(c->page + 8) & 0x7ffffff);
			c->page += 4096;
			continue;
		}
		u32 word = get32(c->at), kind = word & 31, delta = word >> 5;
		const u8 *data;

		if (kind == 30) {
			c->time += delta + ((u64)get32(c->at + 4) << 27);
			c->at += 8;
			continue;
		}
		if (kind == 31)
			fail("absolute time stamps");
		if (kind == 29) {
			if (delta == 0)
				c->at = c->end;
			else
				c->at += 4 + get32(c->at + 4);
			continue;
		}
		c->time += delta;
		if (kind == 0) {
			data = c->at + 8;
			c->at += 4 + ((get32(c->at + 4) + 3) & ~3u);
		} else {
			data = c->at + 4;
			c->at += 4 + 4 * kind;
		}
		events++;
		if (get16(data) == id_exit || get16(data) == id_entry) {
			c->event = data;
			return;
		}
	}
}

static void trace_dat(const u8 *file, size_t size)
{
	static struct cursor cursors[MAX_CPUS];
	const u8 *table = memmem(file, size, "flyrecord", 10);
	const u8 *options = memmem(file, size, "options  ", 10);

	if (!table || !options)
		fail("not trace.dat version 6");
	cpus = get32(options - 4);
	table += 10;
	for (u32 c = 0; c < cpus; c++) {
		cursors[c].page = file + get64(table + 16 * c);
		cursors[c].last = cursors[c].page + get64(table + 16 * c + 8);
		advance(&cursors[c]);
	}
	for (;;) {
		struct cursor *best = &cursors[0];
		u64 next = UINT64_MAX;

		for (u32 c = 1; c < cpus; c++) {
			if (cursors[c].time < best->time) {
				next = best->time;
				best = &cursors[c];
			} else if (cursors[c].time < next)
				next = cursors[c].time;
		}
		if (!best->event)
			break;
		do {
			u32 tid = get32(best->event + 4);
			if (get16(best->event) == id_exit)
				kvm_exit(tid, best->time, get32(best->event + reason_at));
			else
				kvm_entry(tid, best->time);
			advance(best);
		} while (best->event && best->time <= next);
	}
	print_exits();
}

/* Elements that were popped and not yet filled: (vq, elem) to the time of the pop, by open addressing. */
struct element { u64 vq, elem, time; };

static void simpletrace(const u8 *file, size_t size)
{
	const u8 *p = file + 24, *end = file + size;
	u64 id_pop = UINT64_MAX, id_fill = UINT64_MAX, lost = 0, unpopped = 0, open = 0;
	u64 slots = 1 << 16;
	struct element *table = calloc(slots, sizeof *table);
	struct stats pairs = { 0 };

	while (p < end) {
		if (get64(p) == 0) {
			u32 length = get32(p + 16);
			if (length == 13 && !memcmp(p + 20, "virtqueue_pop", 13))
				id_pop = get64(p + 8);
			if (length == 14 && !memcmp(p + 20, "virtqueue_fill", 14))
				id_fill = get64(p + 8);
			p += 20 + length;
			continue;
		}
		u64 id = get64(p + 8);

		events++;
		if (id == id_pop || id == id_fill) {
			u64 time = get64(p + 16), vq = get64(p + 32), elem = get64(p + 40);
			u64 s = ((vq * 31 + elem) * 0x9e3779b97f4a7c15u) >> 48;

			while (table[s].vq && (table[s].vq != vq || table[s].elem != elem))
				s = (s + 1) & (slots - 1);
			if (id == id_pop) {
				if (table[s].vq)
					lost++;
				else if (++open > slots / 2)
					fail("more open elements than expected");
				table[s] = (struct element){ vq, elem, time };
			} else if (!table[s].vq) {
				unpopped++;
			} else {
				add(&pairs, time - table[s].time);
				open--;
				/* Closes the gap: entries behind it move up where their own place allows. */
				for (u64 hole = s, n = (s + 1) & (slots - 1);; n = (n + 1) & (slots - 1)) {
					if (!table[n].vq) {
						table[hole].vq = 0;
						break;
					}
					u64 home = ((table[n].vq * 31 + table[n].elem) * 0x9e3779b97f4a7c15u) >> 48;
					if (((n - home) & (slots - 1)) >= ((n - hole) & (slots - 1))) {
						table[hole] = table[n];
						hole = n;
					}
				}
			}
		}
		p += 8 + get32(p + 24);
	}
	printf("elements %lu %lu %lu %lu\nopen %lu\nlost %lu\nunpopped %lu\nevents %lu\n", pairs.count, pairs.total, pairs.min, pairs.max,
	       open, lost, unpopped, events);
}

int main(int argc, char **argv)
{
	struct stat status;
	int fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;

	if (fd < 0 || fstat(fd, &status))
		fail("usage: floor FILE");
	size_t size = status.st_size;
	const u8 *file = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (file == MAP_FAILED || size < 104)
		fail("cannot map the file");
	madvise((void *)file, size, MADV_SEQUENTIAL);
	if (!memcmp(file, "PERFILE2", 8)) {
		/* The tracing data is a feature, behind the records. */
		u64 records_end = get64(file + 40) + get64(file + 48);
		read_formats(file + records_end, size - records_end);
		perf_data(file);
	} else if (get64(file) == UINT64_MAX) {
		simpletrace(file, size);
	} else {
		read_formats(file, size);
		trace_dat(file, size);
	}
	return 0;
}
