import type { CommandEntry } from './command.ts';

/** Every command of virtap. A new one is a file beside this and a line here. */
export const commands: readonly CommandEntry[] = [
  {
    name: 'events',
    summary: 'what a trace holds, and which questions it can answer',
    load: () => import('./events.ts'),
  },
  {
    name: 'exits',
    summary: 'how often and how long vCPUs were out of the guest, and why',
    load: () => import('./exits.ts'),
  },
  {
    name: 'vcpus',
    summary: "how vCPUs' time divides: guest, KVM, QEMU, locks, preempted, halted",
    load: () => import('./vcpus.ts'),
  },
  {
    name: 'wakes',
    summary: 'why halted vCPUs wake, who wakes them, and how late they run',
    load: () => import('./wakes.ts'),
  },
  {
    name: 'interrupts',
    summary: 'interrupts by vector, where they wait on their way into the guest, and which never arrive',
    load: () => import('./interrupts.ts'),
  },
  {
    name: 'faults',
    summary: "faults of the guest's memory, and vCPUs that get no further",
    load: () => import('./faults.ts'),
  },
  {
    name: 'leaks',
    summary: 'virtqueue elements that QEMU took and never gave back',
    load: () => import('./leaks.ts'),
  },
  {
    name: 'requests',
    summary: 'how long virtio requests take, and where on their path the time goes',
    load: () => import('./requests.ts'),
  },
  {
    name: 'locks',
    summary: "how long QEMU's threads wait for which mutex, and behind whom",
    load: () => import('./locks.ts'),
  },
  {
    name: 'pairs',
    summary: 'how long it takes from any event to any other with the same fields',
    load: () => import('./pairs.ts'),
  },
  {
    name: 'count',
    summary: 'how often any event came, by any of its fields, and when',
    load: () => import('./count.ts'),
  },
  {
    name: 'spans',
    summary: 'any kind of span: statistics by its columns, over time, the longest',
    load: () => import('./spans.ts'),
  },
  {
    name: 'diff',
    summary: 'what changed between two recordings, and what is only noise',
    load: () => import('./diff.ts'),
  },
  {
    name: 'record',
    summary: 'record running virtual machines into a trace.dat',
    load: () => import('./record.ts'),
  },
  {
    name: 'top',
    summary: 'a live screen of exits, vCPUs and requests in flight',
    load: () => import('./top.ts'),
  },
  {
    name: 'list',
    summary: 'the virtual machines that run here, and the probes in their QEMU',
    load: () => import('./list.ts'),
  },
  {
    name: 'cleanup',
    summary: 'finish and remove what a killed virtap record left behind',
    load: () => import('./cleanup.ts'),
  },
  {
    name: 'report',
    summary: 'everything with its pictures, as one page to mail, or in the terminal',
    load: () => import('./report.ts'),
  },
  {
    name: 'serve',
    summary: 'explore a trace of any size in the browser',
    load: () => import('./serve.ts'),
  },
  {
    name: 'export',
    summary: 'exits, vCPU states, requests and lock waits for Perfetto, Parquet, CSV, JSON or HdrHistogram',
    load: () => import('./export.ts'),
  },
  { name: 'dump', summary: 'the events as text, several files merged by time', load: () => import('./dump.ts') },
  { name: 'run', summary: 'your own script over the events of a trace', load: () => import('./run-script.ts') },
  {
    name: 'types',
    summary: 'declarations of events, for editors of scripts',
    load: () => import('./types.ts'),
  },
  { name: 'completion', summary: 'completion for bash, zsh or fish', load: () => import('./completion.ts') },
  { name: 'start', summary: 'the main job on the samples', hidden: true, load: () => import('./start.ts') },
];
