/**
 * What people used to perf, trace-cmd and bpftrace try, and what it is called here. Asked only for options that a command does not have.
 */
const foreign = new Map([
  ['-v', 'what is unsure or lost is always said; --json has all that is known'],
  ['-q', 'only answers are printed to standard output: 2>/dev/null leaves out the rest'],
  ['-k', 'the column to sort by is --sort'],
  [
    '-o',
    'write the answer to a file with >; pages and pictures are written by virtap report -o, spans by virtap export -o',
  ],
  ['-n', 'the table is short; the slowest are --slow NUMBER, the first events are virtap dump --head NUMBER'],
  ['-F', 'fields are in virtap dump --fields, all of them in --json'],
  ['-t', 'a stretch of time is --time FROM,TO'],
  ['-T', 'threads are chosen by --filter tid==NUMBER, or by --pid in exits and vcpus'],
  ['--begin', 'a stretch of time is --from TIME --to TIME'],
  ['--comm', "threads are chosen by virtap dump --filter 'comm==NAME'"],
  ['--pid', 'processes are chosen by --filter pid==NUMBER'],
  ['--event', 'of exits, ports are --by port and guest addresses --by gpa; events are those of virtap dump --event'],
  ['--stdio', 'text is what is printed'],
  ['--format', 'the forms are --json and --csv, more are in virtap export'],
  ['--reason', 'reasons are chosen by virtap exits --reason'],
  ['--cpu', "CPUs are chosen by virtap dump --cpu and virtap exits --cpu, or by --filter 'cpu==NUMBER'"],
  ['--vcpu', 'vCPUs are chosen by virtap exits --vcpu, vcpus --vcpu and dump --vcpu'],
]);

const same: Record<string, string> = {
  '--verbose': '-v',
  '--quiet': '-q',
  '--key': '-k',
  '--output': '-o',
  '--limit': '-n',
  '--head': '-n',
  '--top': '-n',
  '--fields': '-F',
  '--start': '--begin',
  '--start-time': '--begin',
  '--since': '--begin',
  '--stop': '--begin',
  '--end': '--begin',
  '--end-time': '--begin',
  '--until': '--begin',
  '--tid': '-T',
  '--comms': '--comm',
  '-p': '--pid',
  '-e': '--event',
  '-C': '--cpu',
  '--tui': '--stdio',
};

/** Where what an option that is not there stands for is found; undefined where nobody knows. */
export function foreignOption(option: string): string | undefined {
  return foreign.get(same[option] ?? option);
}
