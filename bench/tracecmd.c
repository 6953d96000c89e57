/*
 * The exits of a trace.dat with libtracecmd, as directly as its API allows, on one thread:
 *
 *     cc -O3 -o tracecmd bench/tracecmd.c $(pkg-config --cflags --libs libtracecmd) && ./tracecmd FILE
 *
 * Reads CPU by CPU, keeps exits and entries, and merges these alone by time: that takes a fraction of what libtracecmd's own merge of all
 * events takes. Prints what floor.c prints.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <trace-cmd.h>

typedef uint32_t u32;
typedef uint64_t u64;

#define MAX_TID (1 << 22)
#define MAX_REASON 4096

struct stats { u64 count, total, min, max; };
static struct stats reasons[MAX_REASON + 1];
static u64 *open_time;
static u32 *open_reason;

/* What is kept: an exit with its reason, or an entry (-1). */
struct kept { u64 time; u32 tid; int reason; };
struct cpu { struct kept *kept; size_t count, room, next; };

static void keep(struct cpu *cpu, struct kept kept)
{
	if (cpu->count == cpu->room) {
		cpu->room = cpu->room ? 2 * cpu->room : 1 << 16;
		cpu->kept = realloc(cpu->kept, cpu->room * sizeof *cpu->kept);
		if (!cpu->kept)
			exit(1);
	}
	cpu->kept[cpu->count++] = kept;
}

static void add(u32 reason, u64 duration)
{
	struct stats *s = &reasons[reason < MAX_REASON ? reason : MAX_REASON];

	if (s->count++ == 0 || duration < s->min)
		s->min = duration;
	if (duration > s->max)
		s->max = duration;
	s->total += duration;
}

static struct tep_event *event_of(struct tep_handle *tep, const char *name)
{
	struct tep_event *event = tep_find_event_by_name(tep, "kvm", name);

	if (!event) {
		fprintf(stderr, "tracecmd: no format of kvm:%s\n", name);
		exit(1);
	}
	return event;
}

int main(int argc, char **argv)
{
	struct tracecmd_input *file = argc == 2 ? tracecmd_open(argv[1], 0) : NULL;
	u64 events = 0;

	if (!file) {
		fprintf(stderr, "usage: tracecmd FILE\n");
		return 1;
	}
	struct tep_handle *tep = tracecmd_get_tep(file);
	int id_exit = event_of(tep, "kvm_exit")->id, id_entry = event_of(tep, "kvm_entry")->id;
	struct tep_format_field *field = tep_find_field(event_of(tep, "kvm_exit"), "exit_reason");

	int cpu_count = tep_get_cpus(tep);
	struct cpu *cpus = calloc(cpu_count, sizeof *cpus);

	open_time = calloc(MAX_TID, sizeof *open_time);
	open_reason = calloc(MAX_TID, sizeof *open_reason);
	if (!field || !cpus || !open_time || !open_reason)
		return 1;
	for (int n = 0; n < cpu_count; n++) {
		struct tep_record *record;

		while ((record = tracecmd_read_data(file, n))) {
			int id = tep_data_type(tep, record);
			unsigned long long reason = -1;

			events++;
			if (id == id_exit)
				tep_read_number_field(field, record->data, &reason);
			if (id == id_exit || id == id_entry)
				keep(&cpus[n], (struct kept){ record->ts, (u32)tep_data_pid(tep, record), (int)reason });
			tracecmd_free_record(record);
		}
	}
	for (;;) {
		struct cpu *first = NULL;

		for (struct cpu *cpu = cpus; cpu < cpus + cpu_count; cpu++)
			if (cpu->next < cpu->count && (!first || cpu->kept[cpu->next].time < first->kept[first->next].time))
				first = cpu;
		if (!first)
			break;
		struct kept *kept = &first->kept[first->next++];
		u32 tid = kept->tid & (MAX_TID - 1);

		if (kept->reason >= 0) {
			open_time[tid] = kept->time;
			open_reason[tid] = (u32)kept->reason;
		} else if (open_time[tid]) {
			add(open_reason[tid], kept->time - open_time[tid]);
			open_time[tid] = 0;
		}
	}
	for (u32 r = 0; r <= MAX_REASON; r++)
		if (reasons[r].count)
			printf("exit %u %lu %lu %lu %lu\n", r, reasons[r].count, reasons[r].total, reasons[r].min, reasons[r].max);
	printf("events %lu\n", events);
	return 0;
}
