import { join } from 'node:path';
import { commOf, threadsOf } from './machines.ts';
import { hasTracefs, readTracefs } from './tracefs.ts';

/** Names of threads by tid: those that the tracer remembers (it does so for the last 128), and those of these processes. */
export function threadNames(tracefs: string, pids: readonly number[]): Map<number, string> {
  const names = new Map<number, string>();
  const saved = join(tracefs, 'saved_cmdlines');
  if (hasTracefs(saved)) {
    for (const line of readTracefs(saved).split('\n')) {
      const match = /^(\d+) (.+)$/.exec(line);
      if (match !== null && match[2] !== '<...>')
        names.set(Number(match[1]), Buffer.from(match[2] as string, 'latin1').toString());
    }
  }
  for (const tid of pids.flatMap((pid) => threadsOf(pid))) {
    // A name is any bytes that its owner chose; in the file, a line ends it.
    const comm = commOf(tid)?.replaceAll('\n', ' ');
    if (comm !== undefined && comm !== '') names.set(tid, comm);
  }
  return names;
}
