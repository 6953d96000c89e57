import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeInstance } from './instance.ts';
import { LiveError } from './live-error.ts';
import { startOf } from './machines.ts';
import { type QemuChanges, restoreQemu } from './qemu-log-source.ts';
import { finishRecording, type RecordingState } from './recording-file.ts';
import { threadNames } from './thread-names.ts';
import { definedUprobes, removeUprobe } from './uprobes.ts';

/*
 * What a virtap leaves behind that was killed: a tracing instance, and a recording in parts. Whatever outlives its
 * process is written down before it is begun, in a folder that only its user can write to.
 */

/** Written down about one running virtap. */
export type Journal = {
  pid: number;
  /** When it began, as `startOf` says: ids are used again. */
  started: string;
  recording?: RecordingState;
  qemu?: QemuChanges;
};

/** What was found and put in order, a sentence each. */
export type CleanUp = { done: string[]; failed: string[] };

/** Notes what this process has under way; what it noted before is replaced. */
export function writeJournal(journal: Journal): void {
  const path = join(journalFolder(), `${journal.pid}.json`);
  writeFileSync(`${path}.new`, JSON.stringify(journal), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Nothing of this process is under way any more. */
export function removeJournal(pid: number): void {
  rmSync(join(journalFolder(), `${pid}.json`), { force: true });
}

/** Finishes and removes what dead processes left behind. */
export function cleanUp(tracefs: string): CleanUp {
  const result: CleanUp = { done: [], failed: [] };
  const attempt = (what: string, action: () => boolean) => {
    try {
      if (action()) result.done.push(what);
    } catch (error) {
      result.failed.push(`${what}: ${(error as Error).message}`);
    }
  };
  const journals = readJournals();
  for (const name of namesIn(join(tracefs, 'instances'))) {
    const pid = Number(/^virtap-(\d+)$/.exec(name)?.[1]);
    if (Number.isNaN(pid) || isAlive(pid, journals.get(pid)?.started)) continue;
    // The kernel does not remove one that somebody has open: of a process that this one cannot see, in a container.
    attempt(`tracing instance ${name} removed`, () => removeInstance(join(tracefs, 'instances', name)));
  }
  for (const [pid, names] of definedUprobes(tracefs)) {
    if (isAlive(pid, journals.get(pid)?.started)) continue;
    attempt(`${names.length} probes of virtap ${pid} removed`, () =>
      names.map((name) => removeUprobe(tracefs, name)).includes(true),
    );
  }
  for (const [pid, journal] of journals) {
    // What is to be put back in a QEMU takes time: `cleanUpQemu` does it.
    if (isAlive(pid, journal.started) || journal.qemu !== undefined) continue;
    const { recording } = journal;
    if (recording !== undefined) {
      attempt(`recording finished: ${recording.file}`, () => {
        finishRecording(recording, { comms: threadNames(tracefs, []), stats: [] }, (state) =>
          writeJournal({ ...journal, recording: state }),
        );
        return true;
      });
    }
    // A second attempt would fail as the first did.
    removeJournal(pid);
  }
  return result;
}

/** Puts back what dead processes changed in a QEMU. */
export async function cleanUpQemu(): Promise<CleanUp> {
  const result: CleanUp = { done: [], failed: [] };
  for (const [pid, { started, qemu }] of readJournals()) {
    if (qemu === undefined || isAlive(pid, started)) continue;
    try {
      await restoreQemu(qemu);
      result.done.push(`trace events of QEMU ${qemu.pid} switched off`);
    } catch (error) {
      // One that is gone needs nothing.
      if (startOf(qemu.pid) !== undefined) result.failed.push((error as Error).message);
    }
    if (qemu.folder !== undefined) rmSync(qemu.folder, { recursive: true, force: true });
    removeJournal(pid);
  }
  return result;
}

/** Whether a process runs; one of the same id that began at another time is another. */
function isAlive(pid: number, started: string | undefined): boolean {
  const now = startOf(pid);
  return now !== undefined && (started === undefined || now === started);
}

function readJournals(): Map<number, Journal> {
  const folder = journalFolder();
  const journals = new Map<number, Journal>();
  for (const name of namesIn(folder)) {
    const pid = Number(/^(\d+)\.json$/.exec(name)?.[1]);
    if (!Number.isNaN(pid)) journals.set(pid, readJournal(join(folder, name), pid));
  }
  return journals;
}

function readJournal(path: string, pid: number): Journal {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Journal;
  } catch {
    // Cut by a sudden end: it says that the process was there, and nothing else.
    return { pid, started: '' };
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** The folder of journals. Throws a LiveError where another user could write to it. */
function journalFolder(): string {
  const uid = process.getuid?.() ?? -1;
  const folder =
    uid === 0 && existsSync('/run') ? '/run/virtap' : join(process.env.XDG_RUNTIME_DIR || tmpdir(), `virtap-${uid}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const stat = lstatSync(folder);
  if (!stat.isDirectory() || stat.uid !== uid || (stat.mode & 0o022) !== 0)
    throw new LiveError(`${folder} is not a folder that only its owner can write to: remove it`);
  return folder;
}
